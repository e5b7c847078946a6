import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { controlPlaneManifests } from '@meltemi/control-plane';
import { probeNetns } from '@meltemi/local/sandbox';
import { eventually } from '@meltemi/testing';
import { countVersions, startWalkthrough, type Walkthrough } from './environment-harness.ts';
import { runLoad } from './load/timed-load.ts';

const probe = probeNetns(process.getuid?.() ?? 0, process.env);
const ATTACHED = 'istio-remote-secret-cluster2';
/** 10.12.0.1:6443, cluster2's API, as /proc/net/tcp writes it, in state ESTABLISHED. */
const CONNECTION_TO_CLUSTER2 = /^\s*\d+: \S+ 01000C0A:192B 01 /m;

/** What the articles have users create in the other cluster, with what today's control planes ask of it besides. */
const LEGACY_ACCOUNT = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: istio-multi, namespace: istio-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: istio-reader}
rules:
  - {apiGroups: [""], resources: [nodes, pods, services, endpoints, namespaces], verbs: [get, watch, list]}
  - {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, watch, list]}
  - {apiGroups: [authentication.k8s.io], resources: [tokenreviews], verbs: [create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: istio-multi}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: istio-reader}
subjects: [{kind: ServiceAccount, name: istio-multi, namespace: istio-system}]
---
apiVersion: v1
kind: Secret
metadata:
  name: istio-multi-token
  namespace: istio-system
  annotations: {kubernetes.io/service-account.name: istio-multi}
type: kubernetes.io/service-account-token
`;

interface ClusterRow {
  readonly id: string;
  readonly secretName: string;
  readonly syncStatus: string;
}

describe('A remote cluster', {
  skip: probe.ok ? false : `network namespaces are not to be had: ${probe.reason}`,
}, () => {
  let mesh: Walkthrough;
  let files: string;
  before(async () => {
    files = mkdtempSync(join(tmpdir(), 'meltemi-remote-'));
    mesh = await startWalkthrough();
  });
  after(async () => {
    await mesh?.[Symbol.asyncDispose]();
    rmSync(files, { recursive: true, force: true });
  });

  const succeed = async (args: readonly string[], input?: string): Promise<string> => {
    const result = await mesh.meltemi(args, input);
    assert.equal(result.code, 0, `meltemi ${args.join(' ')}: ${result.stderr}`);
    return result.stdout;
  };
  const kubectl = async (...args: readonly string[]): Promise<string> => {
    const result = await mesh.kubectl(args);
    assert.equal(result.code, 0, `kubectl ${args.join(' ')}: ${result.stderr}`);
    return result.stdout;
  };
  const clusters = async (): Promise<readonly ClusterRow[]> =>
    JSON.parse(await succeed(['remote-clusters', '-o', 'json'])) as readonly ClusterRow[];
  const versions = async (): Promise<string[]> => [...(await countVersions(mesh, 20)).keys()].sort();
  const assertAttached = async (...ids: readonly string[]): Promise<void> => {
    await eventually(async () => {
      // Sidecars of a cluster that was detached go on asking: their cluster is listed as unknown.
      const found = (await clusters()).filter(({ syncStatus }) => syncStatus !== 'unknown');
      assert.deepEqual(found.map(({ id }) => id).sort(), [...ids].sort());
      for (const { id, syncStatus } of found) assert.equal(syncStatus, 'synced', id);
    }, 10_000);
  };
  const podOf = async (label: string, cluster: string): Promise<{ readonly podIP: string }> => {
    const text = await succeed(['get', 'pods', '-n', 'app1', '-l', label, '--cluster', cluster, '-o', 'json']);
    const { items } = JSON.parse(text) as {
      readonly items: readonly { readonly status: { readonly podIP: string } }[];
    };
    return items[0]?.status ?? assert.fail(`no pod ${label} in ${cluster}`);
  };
  const controlPlane = async (): Promise<string> =>
    await kubectl(
      'get',
      'pod',
      '-n',
      'istio-system',
      '-l',
      'app=istiod',
      '-o',
      'jsonpath={.items..metadata.name}/{.items..restartCount}',
    );
  /** The kubeconfig that attaches cluster2, as a user gets it. */
  const remoteKubeconfig = async (): Promise<string> => {
    const secret = await succeed(['create-remote-secret', '--cluster', 'cluster2']);
    const block = /^ {2}cluster2: \|\n((?: {4}.*\n)+)/m.exec(secret)?.[1];
    assert.ok(block !== undefined, secret);
    return block.replace(/^ {4}/gm, '');
  };

  test('MC-15 leaves within 5 s when its secret is deleted: no endpoint and no connection is left', async () => {
    assert.deepEqual(await versions(), ['v1', 'v2']);
    const sockets = ['exec', '-n', 'istio-system', 'deploy/istiod', '--', 'cat', '/proc/net/tcp'];
    assert.match(await succeed(sockets), CONNECTION_TO_CLUSTER2);
    await succeed(['delete', '-n', 'istio-system', 'secret', ATTACHED]);
    await eventually(async () => {
      const endpoints = await succeed(['proxy-config', 'endpoint', '-n', 'app1', 'deploy/sleep']);
      assert.doesNotMatch(endpoints, /^10\.12\./m);
    }, 5000);
    assert.deepEqual(await versions(), ['v1']);
    await assertAttached('cluster1');
    await eventually(async () => assert.doesNotMatch(await succeed(sockets), CONNECTION_TO_CLUSTER2), 5000);
  });

  test('MC-01 joins again by create-remote-secret, without a restart of the control plane', async () => {
    const before = await controlPlane();
    const secret = await succeed(['create-remote-secret', '--cluster', 'cluster2']);
    assert.equal(await succeed(['apply', '-f', '-'], secret), `secret/${ATTACHED} created\n`);
    await assertAttached('cluster1', 'cluster2');
    await eventually(async () => assert.deepEqual(await versions(), ['v1', 'v2']), 5000);
    assert.equal(await controlPlane(), before);
    assert.equal(await succeed(['apply', '-f', '-'], secret), `secret/${ATTACHED} unchanged\n`);
  });

  test('MC-07 MC-08 is not disturbed by secrets that name the own cluster or hold no kubeconfig', async () => {
    const before = await succeed(['proxy-status']);
    await kubectl(
      'create',
      'secret',
      'generic',
      'broken',
      '-n',
      'istio-system',
      '--from-literal=broken=not a kubeconfig',
    );
    await kubectl('label', 'secret', 'broken', 'istio/multiCluster=true', '-n', 'istio-system');
    const own = join(files, 'cluster1');
    writeFileSync(own, await remoteKubeconfig());
    await kubectl('create', 'secret', 'generic', 'own', '-n', 'istio-system', `--from-file=${own}`);
    await kubectl('label', 'secret', 'own', 'istio/multiCluster=true', '-n', 'istio-system');
    await eventually(async () => {
      const log = await succeed(['logs', '-n', 'istio-system', 'deploy/istiod']);
      assert.match(log, /cluster=broken secret=istio-system\/broken reason=/);
      assert.match(log, /cluster=cluster1 secret=istio-system\/own reason=.*own/);
    }, 5000);
    const found = await clusters();
    assert.deepEqual(
      found.filter(({ syncStatus }) => syncStatus === 'synced').map(({ id, secretName }) => [id, secretName]),
      [
        ['cluster1', ''],
        ['cluster2', `istio-system/${ATTACHED}`],
      ],
    );
    assert.deepEqual(await versions(), ['v1', 'v2']);
    assert.equal(await succeed(['proxy-status']), before, 'nothing was pushed');
    await succeed(['delete', '-n', 'istio-system', 'secret/broken', 'secret/own']);
    await assertAttached('cluster1', 'cluster2');
  });

  test('is attached by a labelled secret that kubectl makes of a file, under the name of the file', async () => {
    const file = join(files, 'n2-k8s-config');
    writeFileSync(file, await remoteKubeconfig());
    await succeed(['delete', '-n', 'istio-system', 'secret', ATTACHED]);
    await assertAttached('cluster1');
    assert.equal(
      await kubectl('create', 'secret', 'generic', 'n2-k8s-secret', '--from-file', file, '-n', 'istio-system'),
      'secret/n2-k8s-secret created\n',
    );
    assert.deepEqual(await versions(), ['v1'], 'the label is missing');
    assert.equal(
      await kubectl('label', 'secret', 'n2-k8s-secret', 'istio/multiCluster=true', '-n', 'istio-system'),
      'secret/n2-k8s-secret labeled\n',
    );
    await assertAttached('cluster1', 'n2-k8s-config');
    await eventually(async () => assert.deepEqual(await versions(), ['v1', 'v2']), 5000);
  });

  test('SEC-10 serves under a name that its sidecars do not say, and everybody who looks is told why new pods get no certificate', async () => {
    const warned = await mesh.meltemi(['create-remote-secret', '--cluster', 'cluster2', '--name', 'n2-k8s-config']);
    assert.match(warned.stderr, /^Warning: sidecars of this cluster say that they are of cluster "cluster2"/);
    await kubectl('--context', 'cluster2', 'delete', 'pod', '-n', 'app1', '-l', 'version=v2', '--wait=false');
    await eventually(async () => {
      const { stdout, stderr } = await mesh.meltemi(['remote-clusters']);
      assert.match(stdout, /^cluster2 +- +unknown +istiod-\S+ +default/m);
      assert.match(stderr, /^cluster2 is unknown: workloads that say they are of this cluster are turned away/m);
    }, 20_000);
    const log = await succeed(['logs', '-n', 'istio-system', 'deploy/istiod']);
    assert.match(log, /cluster \\"cluster2\\" is not known; known clusters: cluster1, n2-k8s-config/);
    assert.match(log, /the key of its remote secret must be this name/);
    const checked = await mesh.meltemi(['precheck', 'multicluster', '--no-probes']);
    assert.equal(checked.code, 79);
    assert.match(
      checked.stdout,
      /FAIL {2}cluster2 +its sidecars say that they are of cluster "cluster2", which no control/,
    );
  });

  test('MC-03 leaves when its key is removed from a secret that has two', async () => {
    const config = Buffer.from(await remoteKubeconfig()).toString('base64');
    const patch = async (...operations: readonly object[]): Promise<string> =>
      await kubectl(
        'patch',
        'secret',
        'n2-k8s-secret',
        '-n',
        'istio-system',
        '--type=json',
        '-p',
        JSON.stringify(operations),
      );
    await patch({ op: 'add', path: '/data/cluster2', value: config });
    await assertAttached('cluster1', 'cluster2', 'n2-k8s-config');
    await patch({ op: 'remove', path: '/data/n2-k8s-config' });
    await assertAttached('cluster1', 'cluster2');
    // The pod that got no certificate tries again, less and less often.
    await eventually(async () => assert.deepEqual(await versions(), ['v1', 'v2']), 45_000);
  });

  test('MC-05 1000 requests at 50 a second do not notice that its token is rotated, nor that a wrong one came in between', async () => {
    const load = runLoad(mesh, 50, 22);
    const good = Buffer.from(await remoteKubeconfig()).toString();
    const put = async (kubeconfig: string): Promise<string> =>
      await kubectl(
        ...['patch', 'secret', 'n2-k8s-secret', '-n', 'istio-system', '--type=merge', '-p'],
        JSON.stringify({ stringData: { cluster2: kubeconfig } }),
      );
    await put(good.replace(/token: .*/, 'token: wrong'));
    await eventually(async () => {
      const { stdout, stderr } = await mesh.meltemi(['remote-clusters']);
      assert.match(stdout, /^cluster2 .* updating /m);
      assert.match(stderr, /^cluster2 is updating, last heard \S+ ago: .*Unauthorized/m);
    }, 10_000);
    const reader = 'istio-reader-service-account';
    const token = await kubectl('--context', 'cluster2', 'create', 'token', reader, '-n', 'istio-system');
    await put(good.replace(/token: .*/, `token: ${token.trim()}`));
    await assertAttached('cluster1', 'cluster2');
    const { count, failures, versions: seen } = await load;
    assert.deepEqual(failures, []);
    assert.ok(count >= 1000, `${count} requests`);
    assert.ok((seen['v1'] ?? 0) > 300 && (seen['v2'] ?? 0) > 300, JSON.stringify(seen));
  });

  test('MC-13 MC-16 a minute without its API fails no request, is told as degraded by every view, and ends as if nothing had been', async () => {
    const firewall = async (action: '-I' | '-D'): Promise<void> => {
      const rule = ['-p', 'tcp', '-d', '10.12.0.1', '--dport', '6443', '-j', 'REJECT', '--reject-with', 'tcp-reset'];
      const result = await mesh.outside(['iptables', '-w', action, 'FORWARD', ...rule]);
      assert.equal(result.code, 0, result.stderr);
    };
    const { status } = (
      JSON.parse(await succeed(['get', 'pods', '-n', 'istio-system', '-l', 'app=istiod', '-o', 'json'])) as {
        readonly items: readonly { readonly status: { readonly podIP: string } }[];
      }
    ).items[0] ?? { status: { podIP: '' } };
    const metrics = async (): Promise<string> =>
      (await mesh.outside(['curl', '-s', '-m', '5', `http://${status.podIP}:15014/metrics`])).stdout;
    const load = runLoad(mesh, 50, 60);
    await firewall('-I');
    try {
      await eventually(async () => {
        const { stdout, stderr } = await mesh.meltemi(['remote-clusters']);
        assert.match(stdout, /^cluster2 .* degraded /m);
        assert.match(stderr, /^cluster2 is degraded, last heard \S+ ago: /m);
      }, 45_000);
      const request = ['exec', '-n', 'istio-system', 'deploy/istiod', '--', 'pilot-discovery', 'request', 'GET'];
      const rows = JSON.parse(await succeed([...request, '/debug/clusterz'])) as readonly ClusterRow[];
      assert.equal(rows.find(({ id }) => id === 'cluster2')?.syncStatus, 'degraded');
      assert.match(await metrics(), /sync_status\{cluster="cluster2",cluster_type="remote",status="degraded"\} 1/);
      const { count, failures, versions: seen } = await load;
      assert.deepEqual(failures, []);
      assert.ok(count > 2500, `${count} requests`);
      assert.ok((seen['v2'] ?? 0) > 1000, JSON.stringify(seen));
    } finally {
      await firewall('-D');
    }
    await eventually(async () => {
      assert.deepEqual(
        (await clusters()).map(({ syncStatus }) => syncStatus),
        ['synced', 'synced'],
      );
      assert.match(await metrics(), /sync_status\{cluster="cluster2",cluster_type="remote",status="synced"\} 1/);
    }, 45_000);
  });

  test('MC-42 4 precheck tries the ways between pods, and names one that is cut and one that takes short packets only', async () => {
    const precheck = async (): Promise<string> => (await mesh.meltemi(['precheck', 'multicluster'])).stdout;
    assert.match(await precheck(), /PASS {2}cluster1 → cluster2 +a pod reaches a pod: /);
    const cut = async (match: readonly string[]): Promise<string> => {
      const rule = ['FORWARD', '-p', 'tcp', '-s', '10.11.0.0/16', '-d', '10.12.0.0/16', '--dport', '15020', ...match];
      assert.equal((await mesh.outside(['iptables', '-w', '-I', ...rule])).code, 0);
      try {
        return await precheck();
      } finally {
        await mesh.outside(['iptables', '-w', '-D', ...rule]);
      }
    };
    assert.match(
      await cut(['-j', 'REJECT']),
      /FAIL {2}cluster1 → cluster2 +a pod cannot reach a pod: .*\n +→ Route the pod ranges/,
    );
    assert.match(
      await cut(['-m', 'length', '--length', '1000:65535', '-j', 'DROP']),
      /FAIL {2}cluster1 → cluster2 +short requests get through, whole packets do not: .*\n +→ Lower the MTU/,
    );
  });

  test('is attached by hand as old articles have it: account istio-multi, its token, a kubeconfig file, a labelled secret; with and without mutual TLS', async () => {
    await succeed(['delete', '-n', 'istio-system', 'secret', 'n2-k8s-secret']);
    await assertAttached('cluster1');
    await succeed(['apply', '--cluster', 'cluster2', '-f', '-'], LEGACY_ACCOUNT);
    const secret = JSON.parse(
      await kubectl(
        ...['--context', 'cluster2', 'get', 'secret', 'istio-multi-token', '-n', 'istio-system', '-o', 'json'],
      ),
    ) as { readonly data: Readonly<Record<string, string>> };
    const token = Buffer.from(secret.data['token'] ?? '', 'base64').toString();
    // The file is named like the cluster.
    const file = join(files, 'cluster2');
    writeFileSync(
      file,
      `apiVersion: v1\nclusters:\n  - cluster:\n      certificate-authority-data: ${secret.data['ca.crt']}\n      server: https://10.12.0.1:6443\n    name: cluster2\ncontexts:\n  - context:\n      cluster: cluster2\n      user: istio-multi\n    name: cluster2\ncurrent-context: cluster2\nkind: Config\npreferences: {}\nusers:\n  - name: istio-multi\n    user:\n      token: ${token}\n`,
    );
    await kubectl('create', 'secret', 'generic', 'n2-k8s-secret', '--from-file', file, '-n', 'istio-system');
    await kubectl('label', 'secret', 'n2-k8s-secret', 'istio/multiCluster=true', '-n', 'istio-system');
    await assertAttached('cluster1', 'cluster2');
    for (const mode of ['DISABLE', 'STRICT']) {
      const policy = `apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata:\n  name: default\n  namespace: app1\nspec:\n  mtls:\n    mode: ${mode}\n`;
      await succeed(['apply', '-f', '-'], policy);
      try {
        await eventually(async () => assert.deepEqual(await versions(), ['v1', 'v2'], mode), 5000);
        assert.deepEqual(await versions(), ['v1', 'v2'], mode);
      } finally {
        await succeed(['delete', '-f', '-'], policy);
      }
    }
    // A new pod there gets its certificate by the token of that account, too.
    await kubectl('--context', 'cluster2', 'delete', 'pod', '-n', 'app1', '-l', 'version=v2');
    await eventually(async () => assert.deepEqual(await versions(), ['v1', 'v2']), 30_000);
  });

  test('MC-34 under STRICT in all namespaces both versions answer, 35 to 65 % each of 200, as who they are', async () => {
    const strict =
      'apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata:\n  name: default\n  namespace: istio-system\nspec:\n  mtls:\n    mode: STRICT\n';
    await succeed(['apply', '-f', '-'], strict);
    try {
      const { podIP } = await podOf('version=v2', 'cluster2');
      const plain = await mesh.outside(['curl', '-s', '-m', '5', `http://${podIP}:5000/hello`]);
      assert.equal(plain.stdout, '', 'in the clear nobody is answered');
      const counts = await countVersions(mesh, 200);
      assert.deepEqual([...counts.keys()].sort(), ['v1', 'v2']);
      for (const [version, count] of counts) assert.ok(count >= 70 && count <= 130, `${version}: ${count}`);
      const { stdout } = await mesh.outside([
        'sh',
        '-c',
        `echo | timeout 3 openssl s_client -connect ${podIP}:5000 -alpn istio -showcerts 2>&1`,
      ]);
      const leaf = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/.exec(stdout)?.[0] ?? '';
      assert.equal(new X509Certificate(leaf).subjectAltName, 'URI:spiffe://cluster.local/ns/app1/sa/default');
    } finally {
      await succeed(['delete', '-f', '-'], strict);
    }
  });

  // The last one: cluster2 gets a control plane with a root of its own.
  test('MC-33 clusters of different roots fail each other and nobody else, and precheck names it', async () => {
    await kubectl(
      '--context',
      'cluster2',
      'annotate',
      'namespace',
      'istio-system',
      'topology.istio.io/controlPlaneClusters-',
    );
    await kubectl('--context', 'cluster2', 'delete', 'secret', 'cacerts', '-n', 'istio-system');
    await kubectl('--context', 'cluster2', 'delete', 'endpointslice', 'istiod-remote', '-n', 'istio-system');
    const items = controlPlaneManifests({
      clusterName: 'cluster2',
      values: {
        pilot: { image: 'meltemi/control-plane', autoscaleEnabled: false },
        global: {
          defaultPodDisruptionBudget: { enabled: false },
          proxy: { image: 'meltemi/agent' },
          proxy_init: { image: 'meltemi/agent' },
        },
      },
    });
    await succeed(
      ['apply', '--cluster', 'cluster2', '-f', '-'],
      JSON.stringify({ apiVersion: 'v1', kind: 'List', items }),
    );
    await kubectl(
      ...['--context', 'cluster2', 'rollout', 'status', '-n', 'istio-system', 'deployment/istiod', '--timeout=60s'],
    );
    await succeed(
      ['apply', '--cluster', 'cluster2', '-f', '-'],
      await succeed(['create-remote-secret', '--cluster', 'cluster1']),
    );
    await succeed(['apply', '--cluster', 'cluster2', '-n', 'app1', '-f', 'examples/sleep/sleep.yaml']);
    await kubectl('--context', 'cluster2', 'delete', 'pod', '-n', 'app1', '-l', 'version=v2');
    /** How often each version answered 20 calls from a cluster; refused calls count as `failed`. */
    const answers = async (cluster: string): Promise<Record<string, number>> => {
      const loop = "for i in $(seq 20); do curl -s -m 10 -w ' %{http_code}\\n' helloworld.app1:5000/hello; done";
      const calls = await mesh.meltemi([
        'exec',
        '--cluster',
        cluster,
        '-n',
        'app1',
        'deploy/sleep',
        '--',
        'sh',
        '-c',
        loop,
      ]);
      const found: Record<string, number> = {};
      for (const line of calls.stdout.split('\n').filter((text) => / \d{3}$|^Hello/.test(text))) {
        const version = /^Hello version: (v\d+)/.exec(line)?.[1] ?? (line.endsWith(' 503') ? 'failed' : undefined);
        if (version !== undefined) found[version] = (found[version] ?? 0) + 1;
      }
      return found;
    };
    // Retries hide from callers that half of the endpoints cannot be spoken to.
    await eventually(async () => {
      assert.deepEqual([await answers('cluster1'), await answers('cluster2')], [{ v1: 20 }, { v2: 20 }]);
    }, 60_000);
    const pin = [
      '-n',
      'app1',
      '-f',
      'examples/helloworld/virtualservice.yaml',
      '-f',
      'examples/helloworld/destinationrule.yaml',
    ];
    await succeed(['apply', ...pin]);
    await eventually(async () => assert.deepEqual(await answers('cluster1'), { failed: 20 }), 20_000);
    assert.deepEqual(await answers('cluster2'), { v2: 20 });
    await succeed(['delete', ...pin]);
    await eventually(async () => assert.deepEqual(await answers('cluster1'), { v1: 20 }), 20_000);
    const checked = await mesh.meltemi(['precheck', 'multicluster', '--no-probes']);
    assert.equal(checked.code, 79);
    assert.match(
      checked.stdout,
      /FAIL {2}cluster1, cluster2 +they have no root in common: mutual TLS between them will fail/,
    );
  });
});
