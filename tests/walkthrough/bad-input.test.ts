import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createIntermediate, createRootCertificateAuthority } from '@meltemi/citadel/minting';
import { probeNetns } from '@meltemi/local/sandbox';
import { eventually } from '@meltemi/testing';
import {
  type CommandResult,
  REPOSITORY_ROOT,
  runCommand,
  startWalkthrough,
  type Walkthrough,
} from './environment-harness.ts';
import type { HostileResult } from './hostile/hostile-connections.ts';
import { SteadyRequests } from './hostile/steady-requests.ts';

const probe = probeNetns(process.getuid?.() ?? 0, process.env);
const HOUR_MS = 3_600_000;
/** Nobody may hold a connection for longer than this without having said anything that makes sense. */
const CLOSED_WITHIN_MS = 30_000;

describe('A mesh.yaml that cannot be run', () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'meltemi-mesh-file-'));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  const up = async (yaml: string): Promise<CommandResult> => {
    writeFileSync(join(directory, 'mesh.yaml'), `apiVersion: meltemi.dev/v1alpha1\nkind: Environment\n${yaml}`);
    return runCommand(join(REPOSITORY_ROOT, 'meltemi'), ['up', directory], { timeoutMs: 20_000 });
  };

  for (const { name, yaml, message } of [
    {
      name: 'two clusters of one name',
      yaml: 'clusters:\n  - name: a\n  - name: b\n  - name: a\n',
      message: /mesh\.yaml:6: clusters\[2\]\.name: "a" names two clusters; every cluster needs a name of its own/,
    },
    {
      name: 'an image with an empty command',
      yaml: 'images:\n  - image: x\n    command: []\nclusters:\n  - name: a\n',
      message: /mesh\.yaml:5: images\[0\]\.command: needs the program to run, as a list of words/,
    },
    {
      name: 'an image without a command',
      yaml: 'images:\n  - image: x\nclusters:\n  - name: a\n',
      message: /mesh\.yaml:4: images\[0\]\.command: needs the program to run, as a list of words/,
    },
    {
      name: 'a port that is none',
      yaml: 'clusters:\n  - name: a\n    apiPort: 70000\n',
      message: /mesh\.yaml:5: clusters\[0\]\.apiPort: needs a port number, 0 to 65535/,
    },
  ]) {
    test(`${name}: exit code 64, with line, field and remedy`, async () => {
      const result = await up(yaml);
      assert.equal(result.code, 64, result.stderr);
      assert.match(result.stderr, message);
    });
  }

  test('a port in use: exit code 64, with the port and the remedy', {
    skip: probe.ok ? false : `network namespaces are not to be had: ${probe.reason}`,
  }, async (t) => {
    const holder = createServer();
    await new Promise<void>((resolve) => void holder.listen(0, '127.0.0.1', resolve));
    t.after(() => holder.close());
    const { port } = holder.address() as { readonly port: number };
    const result = await up(`clusters:\n  - name: a\n    apiPort: ${port}\n`);
    assert.equal(result.code, 64, result.stderr);
    assert.match(
      result.stderr,
      new RegExp(`127\\.0\\.0\\.1:${port} .*address already in use.*choose another apiPort in .*mesh\\.yaml`),
    );
  });
});

describe('Bad input to a running mesh', {
  skip: probe.ok ? false : `network namespaces are not to be had: ${probe.reason}`,
}, () => {
  let mesh: Walkthrough;
  let files: string;
  let requests: SteadyRequests;
  before(async () => {
    files = mkdtempSync(join(tmpdir(), 'meltemi-bad-'));
    mesh = await startWalkthrough();
    requests = new SteadyRequests(mesh);
    await eventually(() => requests.count > 5, 20_000);
  });
  after(async () => {
    requests?.[Symbol.dispose]();
    await mesh?.[Symbol.asyncDispose]();
    rmSync(files, { recursive: true, force: true });
  });

  const succeed = async (args: readonly string[], input?: string): Promise<string> => {
    const result = await mesh.meltemi(args, input);
    assert.equal(result.code, 0, `meltemi ${args.join(' ')}: ${result.stderr}`);
    return result.stdout;
  };
  const apply = (name: string, text: string): Promise<CommandResult> => {
    const file = join(files, name);
    writeFileSync(file, text);
    return mesh.meltemi(['apply', '-n', 'app1', '-f', file]);
  };
  const controlPlaneLogs = (): Promise<string> => succeed(['logs', '-n', 'istio-system', 'deploy/istiod']);
  /** Megabytes of memory of each API server. */
  const apiServerMegabytes = (): number =>
    Math.max(
      ...mesh
        .processes()
        .filter(({ argv }) => argv.some((word) => word.endsWith('api-server/main.ts')))
        .map(({ pid }) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024),
    );

  test('manifests that multiply, nest without end, contain themselves or are huge are refused, in bounded memory', async () => {
    const head = 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: bad\n';
    const levels = Array.from({ length: 20 }, (_, level) =>
      level === 0 ? 'l0: &l0 [x,x,x,x,x,x,x,x,x]' : `l${level}: &l${level} [${`*l${level - 1},`.repeat(9)}]`,
    );
    const beforeMegabytes = apiServerMegabytes();
    for (const { name, text, code, message } of [
      {
        name: 'bomb.yaml',
        text: `${head}${levels.join('\n')}\n`,
        code: 65,
        message: /bomb\.yaml:1: its aliases multiply to more than 100; write the values out/,
      },
      {
        name: 'deep.yaml',
        text: `${head}data: ${'['.repeat(100_000)}${']'.repeat(100_000)}\n`,
        code: 65,
        message: /deep\.yaml:5:\d+: nested too deeply to be read/,
      },
      {
        name: 'self.yaml',
        text: `${head}data: &data\n  key: *data\n`,
        code: 65,
        message: /self\.yaml:1: an alias stands inside the value that it names/,
      },
      {
        name: 'huge.yaml',
        text: `${head}data:\n  key: "${'x'.repeat(10 << 20)}"\n`,
        code: 1,
        message: /huge\.yaml:1: ConfigMap bad: .*limit is 3145728 bytes/,
      },
    ]) {
      const result = await apply(name, text);
      assert.equal(result.code, code, `${name}: ${result.stderr.slice(0, 500)}`);
      assert.match(result.stderr, message);
      assert.ok(result.stderr.length < 1000, `${name} is not printed back`);
    }
    const huge = JSON.stringify({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'bad', namespace: 'app1' },
      data: { key: 'x'.repeat(10 << 20) },
    });
    const viaKubectl = await mesh.kubectl(['create', '-f', '-'], { input: huge });
    assert.equal(viaKubectl.code, 1);
    assert.match(viaKubectl.stderr, /RequestEntityTooLarge/);
    assert.equal((await mesh.meltemi(['get', 'configmap', 'bad', '-n', 'app1'])).code, 1, 'nothing was stored');
    const grownMegabytes = apiServerMegabytes() - beforeMegabytes;
    assert.ok(grownMegabytes < 100, `an API server grew by ${grownMegabytes} MB`);
    requests.assertUnharmed();
  });

  test('a cluster ID that another secret owns, and the own one, are ignored and named', async () => {
    const kubeconfig = (server: string): string =>
      JSON.stringify(
        `apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters: [{name: x, cluster: {server: "${server}"}}]\nusers: [{name: x, user: {token: x}}]\ncontexts: [{name: x, context: {cluster: x, user: x}}]\n`,
      );
    const secret = `apiVersion: v1\nkind: Secret\nmetadata:\n  name: zz-thief\n  namespace: istio-system\n  labels:\n    istio/multiCluster: "true"\nstringData:\n  cluster1: ${kubeconfig('https://192.0.2.1')}\n  cluster2: ${kubeconfig('https://192.0.2.2')}\n`;
    assert.equal((await apply('thief.yaml', secret)).code, 0);
    await eventually(async () => {
      const logs = await controlPlaneLogs();
      assert.match(logs, /zz-thief.*cluster1|cluster1.*zz-thief/);
      assert.match(logs, /zz-thief.*cluster2|cluster2.*zz-thief/);
    }, 10_000);
    const clusters = await succeed(['remote-clusters']);
    assert.match(clusters, /cluster1\s.*synced/);
    assert.match(clusters, /cluster2\s.*synced/);
    assert.doesNotMatch(clusters, /192\.0\.2/);
    await succeed(['delete', 'secret', 'zz-thief', '-n', 'istio-system']);
    requests.assertUnharmed();
  });

  test("a token of another cluster opens neither the other's API nor the control plane as one of its workloads", async () => {
    const tokenOf = async (context: string, audience: readonly string[]): Promise<string> => {
      const result = await mesh.kubectl([
        '--context',
        context,
        'create',
        'token',
        '-n',
        'app1',
        'default',
        ...audience,
      ]);
      assert.equal(result.code, 0, result.stderr);
      return result.stdout.trim();
    };
    const foreign = await tokenOf('cluster2', []);
    const server = await mesh.kubectl([
      'config',
      'view',
      '-o',
      'jsonpath={.clusters[?(@.name=="cluster1")].cluster.server}',
    ]);
    const answer = await runCommand('curl', ['-sk', '-H', `Authorization: Bearer ${foreign}`, `${server.stdout}/api`]);
    assert.equal((JSON.parse(answer.stdout) as { readonly code: number }).code, 401, answer.stdout);

    const address = await mesh.kubectl([
      '--context',
      'cluster1',
      'get',
      'pods',
      '-n',
      'istio-system',
      '-l',
      'app=istiod',
      '-o',
      'jsonpath={.items[0].status.podIP}',
    ]);
    /** The status of a gRPC call that asks for a certificate, as `16 <message>`. */
    const askForCertificate = async (token: string, clusterId: string): Promise<string> => {
      const program = `
        const session = require('node:http2').connect('https://${address.stdout}:15012', { rejectUnauthorized: false });
        const stream = session.request({ ':method': 'POST', ':path': '/istio.v1.auth.IstioCertificateService/CreateCertificate',
          'content-type': 'application/grpc', te: 'trailers', authorization: 'Bearer ' + process.argv[1], clusterid: process.argv[2] });
        const tell = (headers) => headers['grpc-status'] !== undefined && console.log(headers['grpc-status'], decodeURIComponent(headers['grpc-message'] ?? ''));
        stream.on('response', tell).on('trailers', tell).on('close', () => session.close()).resume();
        stream.end(Buffer.alloc(5));`;
      const result = await mesh.outside([process.execPath, '-e', program, token, clusterId]);
      return `${result.stdout}${result.stderr}`.trim();
    };
    const workload = await tokenOf('cluster2', ['--audience', 'istio-ca']);
    assert.match(await askForCertificate(workload, 'cluster1'), /^16 /, 'a token of cluster2 that claims cluster1');
    assert.match(await askForCertificate(workload, 'nowhere'), /^16 /, 'a cluster that nobody knows');
    assert.doesNotMatch(await askForCertificate(workload, 'cluster2'), /^16 /, 'the same token as what it is');
    requests.assertUnharmed();
  });

  test('an expired intermediate in cacerts is refused with its date, and the one in force goes on signing', async () => {
    const rootDirectory = join(mesh.directory, '.meltemi/mesh-root');
    const root = {
      certificatePem: readFileSync(join(rootDirectory, 'root-cert.pem'), 'utf8'),
      keyPem: readFileSync(join(rootDirectory, 'root-key.pem'), 'utf8'),
    };
    const good = await succeed(['get', 'secret', 'cacerts', '-n', 'istio-system', '-o', 'json']);
    const expired = createIntermediate(root, {
      organization: 'Meltemi',
      lifetimeMs: HOUR_MS,
      nowMs: Date.now() - 3 * HOUR_MS,
    });
    const patch = (data: Readonly<Record<string, string>>): Promise<CommandResult> =>
      mesh.kubectl([
        '--context',
        'cluster1',
        'patch',
        'secret',
        'cacerts',
        '-n',
        'istio-system',
        '-p',
        JSON.stringify({ data }),
      ]);
    const encoded = Object.fromEntries(
      Object.entries(expired).map(([name, text]) => [name, Buffer.from(text).toString('base64')]),
    );
    const patched = await patch(encoded);
    assert.equal(patched.code, 0, patched.stderr);
    await eventually(
      async () =>
        assert.match(await controlPlaneLogs(), /the signing certificate in .*expired at 20.*put a valid one there/),
      30_000,
    );
    // Whoever comes now still gets a certificate.
    const removed = await mesh.kubectl(['--context', 'cluster2', 'delete', 'pod', '-n', 'app1', '-l', 'version=v2']);
    assert.equal(removed.code, 0, removed.stderr);
    await eventually(async () => {
      const rows = (await succeed(['proxy-status'])).split('\n').filter((row) => row.startsWith('helloworld-v2'));
      assert.equal(rows.length, 1, rows.join('\n'));
    }, 20_000);
    assert.equal((await patch((JSON.parse(good) as { readonly data: Record<string, string> }).data)).code, 0);
    requests.assertUnharmed();
  });

  test('a sidecar with a foreign or expired root never trusts the control plane, and log and describe say why', async () => {
    const nowMs = Date.now();
    const roots = {
      foreign: createRootCertificateAuthority({ organization: 'Other', lifetimeMs: HOUR_MS, nowMs }),
      expired: createRootCertificateAuthority({ organization: 'Old', lifetimeMs: HOUR_MS, nowMs: nowMs - 3 * HOUR_MS }),
    };
    for (const [name, { certificatePem }] of Object.entries(roots)) {
      const manifest = [
        {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: { name: `root-${name}` },
          data: { 'root-cert.pem': certificatePem },
        },
        {
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { name: `root-${name}`, annotations: { 'sidecar.istio.io/inject': 'false' } },
          spec: {
            terminationGracePeriodSeconds: 0,
            containers: [
              {
                name: 'istio-proxy',
                image: 'meltemi/agent',
                args: ['proxy', 'sidecar', '--domain', 'app1.svc.cluster.local'],
                env: [
                  { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
                  { name: 'POD_NAMESPACE', valueFrom: { fieldRef: { fieldPath: 'metadata.namespace' } } },
                  { name: 'INSTANCE_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
                  { name: 'ISTIO_META_CLUSTER_ID', value: 'cluster1' },
                ],
                readinessProbe: { httpGet: { path: '/healthz/ready', port: 15021 }, periodSeconds: 1 },
                volumeMounts: [
                  { name: 'root', mountPath: '/var/run/secrets/istio' },
                  { name: 'token', mountPath: '/var/run/secrets/tokens' },
                  { name: 'config', mountPath: '/etc/istio/proxy' },
                  { name: 'sds', mountPath: '/var/run/secrets/workload-spiffe-uds' },
                ],
              },
            ],
            volumes: [
              { name: 'root', configMap: { name: `root-${name}` } },
              { name: 'config', emptyDir: {} },
              { name: 'sds', emptyDir: {} },
              {
                name: 'token',
                projected: { sources: [{ serviceAccountToken: { audience: 'istio-ca', path: 'istio-token' } }] },
              },
            ],
          },
        },
      ];
      await succeed(
        ['apply', '-n', 'app1', '-f', '-'],
        JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifest }),
      );
    }
    for (const name of Object.keys(roots)) {
      await eventually(async () => {
        const logs = await succeed(['logs', '-n', 'app1', `root-${name}`]);
        assert.match(logs, /certificate/i, logs.slice(-800));
        assert.match(logs, /root-cert\.pem|self-signed certificate|unable to (?:verify|get)|CERT/, logs.slice(-800));
        const described = await succeed(['describe', 'pod', '-n', 'app1', `root-${name}`]);
        assert.match(described, /Unhealthy\s.*Readiness probe failed/);
      }, 30_000);
    }
    await succeed(['delete', 'pod', '-n', 'app1', 'root-foreign', 'root-expired']);
    requests.assertUnharmed();
  });

  test('an app that never starts says why in get pods, describe, events and logs', async () => {
    const pod = (name: string, containers: readonly object[]): object => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, annotations: { 'sidecar.istio.io/inject': 'false' } },
      spec: { terminationGracePeriodSeconds: 0, containers },
    });
    const web = (name: string): object => ({
      name,
      image: 'meltemi/helloworld-v1',
      env: [{ name: 'PORT', value: '7000' }],
      ports: [{ containerPort: 7000 }],
    });
    const pods = [
      pod('no-program', [{ name: 'app', image: 'meltemi/sleep', command: ['/no/such/program'] }]),
      pod('no-image', [{ name: 'app', image: 'example.org/unknown:1' }]),
      pod('exits', [
        { name: 'app', image: 'meltemi/sleep', command: ['sh', '-c', 'echo no configuration >&2; exit 3'] },
      ]),
      pod('same-port', [web('first'), web('second')]),
    ];
    await succeed(['apply', '-n', 'app1', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: pods }));
    const expected: Readonly<
      Record<string, { readonly status: RegExp; readonly described: RegExp; readonly event: RegExp }>
    > = {
      'no-program': {
        status: /CrashLoopBackOff|RunContainerError|StartError/,
        described: /\/no\/such\/program.*(?:no such file|not found)|(?:no such file|not found).*\/no\/such\/program/i,
        event: /\/no\/such\/program/,
      },
      'no-image': {
        status: /ErrImagePull|ImagePullBackOff/,
        described: /example\.org\/unknown:1.*mesh\.yaml/,
        event: /example\.org\/unknown:1/,
      },
      exits: {
        status: /CrashLoopBackOff/,
        described: /Exit Code:\s+3/,
        event: /BackOff.*restarting failed container/i,
      },
      'same-port': {
        status: /CrashLoopBackOff/,
        described: /Exit Code:\s+1/,
        event: /BackOff.*restarting failed container/i,
      },
    };
    for (const [name, { status, described, event }] of Object.entries(expected)) {
      await eventually(async () => {
        assert.match(
          await succeed(['get', 'pods', '-n', 'app1']),
          new RegExp(`^${name}\\s.*(?:${status.source})`, 'm'),
        );
        assert.match(await succeed(['describe', 'pod', '-n', 'app1', name]), described);
        const events = (await succeed(['get', 'events', '-n', 'app1'])).split('\n');
        assert.match(events.filter((line) => line.includes(`pod/${name}`)).join('\n'), event);
      }, 20_000);
    }
    assert.match(await succeed(['logs', '-n', 'app1', 'exits', '--previous']), /no configuration/);
    const clash = await Promise.all(
      ['first', 'second'].map((container) => mesh.meltemi(['logs', '-n', 'app1', 'same-port', '-c', container])),
    );
    assert.match(clash.map(({ stdout }) => stdout).join('\n'), /EADDRINUSE.*:7000/);
    await succeed(['delete', 'pod', '-n', 'app1', ...Object.keys(expected)]);
    requests.assertUnharmed();
  });

  test('garbage, half a TLS hello, slow-lorises and an HTTP/2 preface on every listening port harm nobody', async (t) => {
    // Pods of the tests before are gone, with their namespaces.
    const serving = async (): Promise<number> => {
      const lists = await Promise.all(
        ['cluster1', 'cluster2'].map((context) =>
          mesh.kubectl(['--context', context, 'get', 'pods', '-A', '--no-headers']),
        ),
      );
      return lists.flatMap(({ stdout }) => stdout.trim().split('\n')).length;
    };
    await eventually(
      async () => assert.equal(await serving(), 4, 'sleep, both helloworlds and the control plane'),
      40_000,
    );
    const pidsBefore = new Set(mesh.processes().map(({ pid }) => pid));
    const systemProcesses = new Set(
      mesh
        .processes()
        .filter(({ argv }) => argv.some((word) => word.includes('packages/local/src/')))
        .map(({ pid }) => pid),
    );
    const program = join(REPOSITORY_ROOT, 'tests/walkthrough/hostile/hostile-connections.ts');
    const namespaces = new Map<string, number>();
    const own = readlinkSync('/proc/self/ns/net');
    for (const { pid, argv } of mesh.processes()) {
      // One in every namespace; applications and their calls come and go.
      if (!argv.some((word) => /packages\/(?:agent|control-plane|local)\/src\//.test(word))) continue;
      try {
        const namespace = readlinkSync(`/proc/${pid}/ns/net`);
        if (namespace !== own && !namespaces.has(namespace)) namespaces.set(namespace, pid);
      } catch {
        // It has ended meanwhile.
      }
    }
    assert.ok(namespaces.size >= 6, `namespaces of two nodes and four pods: ${namespaces.size}`);
    const attack = async (command: readonly string[], words: readonly string[]): Promise<HostileResult[]> => {
      const [first, ...rest] = [...command, process.execPath, program, String(CLOSED_WITHIN_MS), ...words] as [
        string,
        ...string[],
      ];
      const result = await runCommand(first, rest, { timeoutMs: CLOSED_WITHIN_MS + 20_000 });
      assert.equal(result.code, 0, result.stderr);
      return JSON.parse(result.stdout) as HostileResult[];
    };
    const user = process.getuid?.() === 0 ? [] : ['-U', '--preserve-credentials'];
    const podIps = JSON.parse(await succeed(['get', 'pods', '-n', 'app1', '-o', 'json'])) as {
      readonly items: readonly { readonly status: { readonly podIP: string } }[];
    };
    // From outside, whatever port is named, a pod's sidecar gets the connection.
    const fromOutside = [
      ...podIps.items.flatMap(({ status: { podIP } }) => [`${podIP}:5000`, `${podIP}:9999`]),
      '10.11.0.1:6443',
      '10.11.0.1:10250',
    ];
    const hostPorts = execFileSync('ss', ['-ltnpH'], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => [...line.matchAll(/pid=(\d+)/g)].some(([, pid]) => pidsBefore.has(Number(pid))))
      .map((line) => line.split(/\s+/)[3] as string);
    assert.equal(hostPorts.length, 2, `an API on the host for each cluster: ${hostPorts.join(', ')}`);
    const supervisorPid = mesh.processes().find(({ argv }) => argv[1]?.endsWith('supervisor/main.ts'))?.pid;
    const nsenter = (pid: number): string[] => ['nsenter', '-t', String(pid), ...user, '-n', '--'];
    const results = (
      await Promise.all([
        attack([], hostPorts),
        attack(nsenter(supervisorPid as number), fromOutside),
        ...[...namespaces.values()].map((pid) => attack(nsenter(pid), ['--listening'])),
      ])
    ).flat();
    t.diagnostic(`${results.length} hostile connections`);
    assert.ok(results.length > 100, `${results.length} connections`);
    assert.deepEqual(
      results.filter(({ closedMs }) => closedMs === undefined).map(({ address, kind }) => `${kind} at ${address}`),
      [],
      'still open at the end',
    );
    const pidsAfter = new Set(mesh.processes().map(({ pid }) => pid));
    const restarts = await Promise.all(
      ['cluster1', 'cluster2'].map((context) =>
        mesh.kubectl([
          '--context',
          context,
          'get',
          'pods',
          '-A',
          '-o',
          'jsonpath={.items[*].status.containerStatuses[*].restartCount}',
        ]),
      ),
    );
    for (const { stdout } of restarts) assert.match(stdout, /^[0 ]+$/, 'nothing has crashed');
    assert.deepEqual(
      [...pidsBefore].filter((pid) => systemProcesses.has(pid) && !pidsAfter.has(pid)),
      [],
      'the processes of the clusters are the same as before',
    );
    requests.assertUnharmed();
  });

  test('of all requests meanwhile, none failed', (t) => {
    requests.assertUnharmed();
    t.diagnostic(`${requests.count} requests`);
    assert.ok(requests.count > 100);
  });
});

const canMount = probe.ok && process.getuid?.() === 0;

describe('A full disk', { skip: canMount ? false : 'a tmpfs below .meltemi can be mounted by root only' }, () => {
  let mesh: Walkthrough;
  let directory: string;
  let disk: string;
  const yaml = `apiVersion: meltemi.dev/v1alpha1
kind: Environment
root: ${REPOSITORY_ROOT}
images:
  - image: meltemi/sleep
    command: [node, examples/sleep/server.ts]
    path: [examples/sleep/bin]
  - image: meltemi/helloworld-v1
    command: [node, examples/helloworld/server.ts]
    env: { SERVICE_VERSION: v1 }
clusters:
  - name: cluster1
    manifests:
      - { file: examples/walkthrough/app1.yaml }
      - { file: examples/sleep/sleep.yaml, namespace: app1 }
      - { file: examples/helloworld/helloworld.yaml, namespace: app1, selector: service=helloworld }
      - { file: examples/helloworld/helloworld.yaml, namespace: app1, selector: version=v1 }
`;
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'meltemi-full-'));
    disk = join(directory, '.meltemi/clusters/cluster1/store');
    mkdirSync(disk, { recursive: true, mode: 0o700 });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=0700', 'tmpfs', disk]);
    mesh = await startWalkthrough({ directory, edit: () => yaml });
  });
  after(async () => {
    await mesh?.[Symbol.asyncDispose]();
    execFileSync('umount', ['-l', disk]);
    rmSync(directory, { recursive: true, force: true });
  });

  const configMap = (name: string, bytes: number): string =>
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace: 'app1' },
      data: { key: 'x'.repeat(bytes) },
    });
  const create = (name: string, bytes: number): Promise<CommandResult> =>
    mesh.kubectl(['create', '-f', '-', '-v', '8'], { input: configMap(name, bytes) });
  const names = async (): Promise<string[]> =>
    (await mesh.kubectl(['get', 'configmaps', '-n', 'app1', '-o', 'name'])).stdout.trim().split('\n').sort();

  test('writes are answered 507, reads, watches and traffic go on, and with room again all is whole', async () => {
    using requests = new SteadyRequests(mesh);
    await eventually(() => requests.count > 5, 20_000);
    assert.equal((await create('before', 1000)).code, 0);
    // Fills what is left, as another program on the same disk would.
    const filler = join(disk, 'filler');
    for (const size of [65_536, 4096, 512]) {
      try {
        for (;;) writeFileSync(filler, Buffer.alloc(size), { flag: 'a' });
      } catch {
        // Full, to within this size.
      }
    }
    const refused = await create('refused', 20_000);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /507/);
    assert.match(refused.stderr.replaceAll('\\"', '"'), /"kind":"Status".*"reason":"InsufficientStorage".*"code":507/);
    assert.ok(
      refused.stderr.includes(`the disk is full: nothing more can be stored in ${disk}; free some space there`),
    );
    const file = join(directory, 'refused.yaml');
    writeFileSync(file, `# A comment\n${configMap('refused', 10)}\n`);
    const applied = await mesh.meltemi(['apply', '-f', file]);
    assert.equal(applied.code, 1);
    assert.match(applied.stderr, /refused\.yaml:2: ConfigMap refused: .*the disk is full/);
    const removal = await mesh.kubectl(['delete', 'configmap', 'before', '-n', 'app1']);
    assert.equal(removal.code, 1);
    assert.match(removal.stderr, /InsufficientStorage/);

    // Reads, and the state of before.
    const whileFull = await names();
    assert.ok(whileFull.includes('configmap/before') && !whileFull.includes('configmap/refused'), whileFull.join());
    const pods = await mesh.kubectl(['get', 'pods', '-n', 'app1']);
    assert.equal(pods.stdout.match(/\sRunning\s+0\s/g)?.length, 2, pods.stdout);
    const watch = mesh.kubectl([
      'get',
      'configmaps',
      '-n',
      'app1',
      '--watch-only',
      '--request-timeout=15s',
      '-o',
      'name',
    ]);
    const answered = requests.count;
    await eventually(() => requests.count > answered + 20, 20_000);
    requests.assertUnharmed();

    // Room again: no restart, and the next write is taken.
    rmSync(filler);
    await eventually(async () => assert.equal((await create('after', 1000)).code, 0), 10_000);
    assert.match((await watch).stdout, /configmap\/after/);
    const stored = await names();
    assert.deepEqual(stored, [...whileFull, 'configmap/after'].sort());
    const apiServer = (): number | undefined =>
      mesh.processes().find(({ argv }) => argv.some((word) => word.endsWith('api-server/main.ts')))?.pid;
    const pid = apiServer();
    assert.ok(pid !== undefined);
    requests.assertUnharmed();

    // What is on the disk is what was acknowledged.
    process.kill(pid, 'SIGKILL');
    await eventually(async () => {
      assert.notEqual(apiServer(), pid);
      assert.deepEqual(await names(), stored);
    }, 20_000);
  });
});
