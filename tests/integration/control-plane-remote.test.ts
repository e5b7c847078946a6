import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { buildSigningRequest } from '@meltemi/agent';
import {
  CONFIG_MAPS,
  ENDPOINT_SLICES,
  EVENTS,
  type KubeClient,
  MUTATING_WEBHOOK_CONFIGURATIONS,
  NAMESPACES,
  PODS,
  SECRETS,
  SERVICES,
} from '@meltemi/kube';
import { eventually } from '@meltemi/testing';
import type { ControlPlaneAnswer, ControlPlaneCall } from '../walkthrough/control-plane-caller.ts';
import {
  type ControlPlaneHarness,
  DEADLINE_MS,
  fetchPage,
  startHarness,
  startRemote,
} from './control-plane-harness.ts';

const KEY = 'app1/helloworld.app1.svc.cluster.local';

/** Puts helloworld with one pod into a cluster, as its controllers and kubelet would. */
async function serveHelloworld(client: KubeClient, address: string): Promise<void> {
  await client.create(SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'helloworld', namespace: 'app1' },
    spec: { ports: [{ name: 'http', port: 5000 }], selector: { app: 'helloworld' } },
  });
  const pod = await client.create(PODS, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'helloworld', namespace: 'app1', labels: { app: 'helloworld' } },
    spec: { containers: [{ name: 'app', image: 'x' }] },
  });
  const status = { phase: 'Running', podIP: address, podIPs: [{ ip: address }] };
  await client.update(PODS, { ...pod, status }, { subresource: 'status' });
  await client.create(ENDPOINT_SLICES, {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'helloworld-1', namespace: 'app1', labels: { 'kubernetes.io/service-name': 'helloworld' } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 5000, protocol: 'TCP' }],
    endpoints: [
      {
        addresses: [address],
        conditions: { ready: true },
        targetRef: { kind: 'Pod', name: 'helloworld', namespace: 'app1' },
      },
    ],
  });
}

interface ServiceEndpoints {
  readonly service: string;
  readonly clusters: Readonly<Record<string, readonly { readonly address: string }[]>>;
}

interface ClusterStatus {
  readonly id: string;
  readonly secretName: string;
  readonly syncStatus: string;
  readonly lastError?: string;
}

/** gRPC's code. */
const UNAUTHENTICATED = 16;

async function rowOf(mesh: ControlPlaneHarness, id: string): Promise<ClusterStatus | undefined> {
  return (await mesh.debug<readonly ClusterStatus[]>('/debug/clusterz')).find((row) => row.id === id);
}

/** Calls the control plane's secure port, trusting its own root, from a process of its own. */
async function callControlPlane(mesh: ControlPlaneHarness, call: ControlPlaneCall): Promise<ControlPlaneAnswer> {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-caller-'));
  try {
    const rootFile = join(directory, 'root.pem');
    const map = await eventually(
      () => mesh.client.get(CONFIG_MAPS, { namespace: 'app1', name: 'istio-ca-root-cert' }),
      DEADLINE_MS,
    );
    writeFileSync(rootFile, map.data?.['root-cert.pem'] ?? '');
    const script = join(import.meta.dirname, '../walkthrough/control-plane-caller.ts');
    const address = `127.0.0.1:${mesh.controlPlane.ports.secureGrpc}`;
    const result = await promisify(execFile)(process.execPath, [script, address, rootFile, JSON.stringify([call])]);
    // The script prints one answer for each call.
    return (JSON.parse(result.stdout) as ControlPlaneAnswer[])[0] as ControlPlaneAnswer;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Addresses of helloworld by cluster, as the control plane has them in its snapshot. */
async function endpointsOf(mesh: ControlPlaneHarness): Promise<Record<string, readonly string[]>> {
  const services = await mesh.debug<readonly ServiceEndpoints[]>('/debug/endpointz');
  const found = services.find(({ service }) => service === KEY);
  return Object.fromEntries(
    Object.entries(found?.clusters ?? {}).map(([cluster, list]) => [cluster, list.map(({ address }) => address)]),
  );
}

test('MC-01 MC-15 MC-16 a remote cluster is attached, looked after, and detached while running', async () => {
  await using mesh = await startHarness();
  await using remote = await startRemote('cluster2');
  await remote.cluster.createNamespace('app1');
  // Webhooks must not be called for pods of this test: nothing serves them at their Service's address.
  await serveHelloworld(mesh.client, '10.11.1.1');
  await serveHelloworld(remote.client, '10.12.1.1');

  const addresses = (): ReturnType<typeof endpointsOf> => endpointsOf(mesh);
  await eventually(async () => assert.deepEqual(await addresses(), { cluster1: ['10.11.1.1'] }), DEADLINE_MS);

  await mesh.client.create(SECRETS, remote.secret);
  await eventually(
    async () => assert.deepEqual(await addresses(), { cluster1: ['10.11.1.1'], cluster2: ['10.12.1.1'] }),
    DEADLINE_MS,
  );
  const clusters = await mesh.debug<readonly ClusterStatus[]>('/debug/clusterz');
  assert.deepEqual(
    clusters.map(({ id, secretName, syncStatus }) => [id, secretName, syncStatus]),
    [
      ['cluster1', '', 'synced'],
      ['cluster2', 'istio-system/istio-remote-secret-cluster2', 'synced'],
    ],
  );
  const metrics = await fetchPage(mesh.controlPlane.ports.monitoring, '/metrics');
  assert.match(metrics.body, /sync_status\{cluster="cluster2",cluster_type="remote",status="synced"\} 1/);

  // What its workloads need before they can join, written with the rights of the reader account.
  const roots = await eventually(async () => {
    const map = await remote.client.find(CONFIG_MAPS, { namespace: 'app1', name: 'istio-ca-root-cert' });
    return map?.data?.['root-cert.pem'] ?? false;
  }, DEADLINE_MS);
  await eventually(async () => {
    const { webhooks } = await remote.client.get(MUTATING_WEBHOOK_CONFIGURATIONS, { name: 'istio-sidecar-injector' });
    const caBundle = Buffer.from(roots).toString('base64');
    assert.ok(webhooks?.every(({ clientConfig }) => clientConfig.caBundle === caBundle));
    const slice = await remote.client.get(ENDPOINT_SLICES, { namespace: 'istio-system', name: 'istiod-remote' });
    assert.deepEqual(slice.endpoints?.[0]?.addresses, ['10.11.9.9']);
  }, DEADLINE_MS);

  await mesh.client.delete(SECRETS, { namespace: 'istio-system', name: 'istio-remote-secret-cluster2' });
  await eventually(async () => assert.deepEqual(await addresses(), { cluster1: ['10.11.1.1'] }), 5000);
  const services =
    await mesh.debug<readonly { readonly name: string; readonly clusterVIPs: object }[]>('/debug/registryz');
  const { clusterVIPs } = services.find(({ name }) => name === 'helloworld') ?? { clusterVIPs: {} };
  assert.deepEqual(Object.keys(clusterVIPs), ['cluster1']);
});

test('MC-35 a remote cluster that does not name the control plane is read but not written to', async () => {
  await using mesh = await startHarness();
  await using remote = await startRemote('cluster2');
  await remote.client.patch(
    NAMESPACES,
    { name: 'istio-system' },
    { type: 'merge', body: { metadata: { annotations: { 'topology.istio.io/controlPlaneClusters': 'other' } } } },
  );
  await mesh.client.create(SECRETS, remote.secret);
  await eventually(async () => {
    const clusters = await mesh.debug<readonly ClusterStatus[]>('/debug/clusterz');
    assert.equal(clusters.find(({ id }) => id === 'cluster2')?.syncStatus, 'synced');
  }, DEADLINE_MS);
  const rootMap = { namespace: 'istio-system', name: 'istio-ca-root-cert' };
  const caBundles = async (): Promise<readonly (string | undefined)[]> => {
    const { webhooks = [] } = await remote.client.get(MUTATING_WEBHOOK_CONFIGURATIONS, {
      name: 'istio-sidecar-injector',
    });
    return webhooks.map(({ clientConfig }) => clientConfig.caBundle);
  };
  assert.equal(await remote.client.find(CONFIG_MAPS, rootMap), undefined);
  assert.ok((await caBundles()).every((bundle) => bundle === undefined));
  // Named later, it is looked after.
  await remote.client.patch(
    NAMESPACES,
    { name: 'istio-system' },
    { type: 'merge', body: { metadata: { annotations: { 'topology.istio.io/controlPlaneClusters': 'a, cluster1' } } } },
  );
  await eventually(async () => assert.ok(await remote.client.find(CONFIG_MAPS, rootMap)), DEADLINE_MS);
  await eventually(async () => assert.ok((await caBundles()).every((bundle) => bundle !== undefined)), DEADLINE_MS);
});

test("SEC-10 MC-35 a remote workload's request is refused until its cluster is attached under the name that it says", async () => {
  await using mesh = await startHarness();
  await using remote = await startRemote('cluster2');
  const namespaces = ['app1', 'app2', 'app3'];
  for (const namespace of namespaces) await remote.cluster.createNamespace(namespace);
  const { token } = await remote.client.createToken(
    { namespace: 'app1', name: 'default' },
    { audiences: ['istio-ca'] },
  );
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const csrPem = buildSigningRequest('spiffe://cluster.local/ns/app1/sa/default', privateKey);
  const ask = (clusterId: string): Promise<ControlPlaneAnswer> =>
    callControlPlane(mesh, { name: clusterId, token, csrPem, clusterId });
  const attach = async (name: string): Promise<void> => {
    await mesh.client.create(SECRETS, { ...remote.secret, data: { [name]: remote.secret.data?.['cluster2'] ?? '' } });
    await eventually(async () => assert.equal((await rowOf(mesh, name))?.syncStatus, 'synced'), DEADLINE_MS);
  };
  const detach = (): Promise<unknown> =>
    mesh.client.delete(SECRETS, { namespace: 'istio-system', name: remote.secret.metadata.name });

  // Not attached at all.
  assert.equal((await ask('cluster2')).code, UNAUTHENTICATED);
  assert.match(mesh.log.join('\n'), /cluster "cluster2" is not known; known clusters: cluster1/);
  assert.equal((await rowOf(mesh, 'cluster2'))?.syncStatus, 'unknown');
  // Attached by the name of a file, as old articles have it: everybody is told which name is missing.
  await attach('n2-k8s-config');
  assert.equal((await ask('cluster2')).code, UNAUTHENTICATED);
  assert.match(mesh.log.join('\n'), /cluster "cluster2" is not known; known clusters: cluster1, n2-k8s-config/);
  const row = await rowOf(mesh, 'cluster2');
  assert.equal(row?.syncStatus, 'unknown');
  assert.match(row.lastError ?? '', /turned away: no remote secret has a key of this name/);
  await detach();
  // Attached by its own name.
  await attach('cluster2');
  const answer = await ask('cluster2');
  assert.equal(answer.code, 0, answer.details);
  const leaf = new X509Certificate(answer.certificates?.[0] ?? '');
  assert.equal(leaf.subjectAltName, 'URI:spiffe://cluster.local/ns/app1/sa/default');
  // A token of one cluster is worth nothing under the name of another.
  assert.equal((await ask('cluster1')).code, UNAUTHENTICATED);
  await eventually(async () => {
    for (const namespace of [...namespaces, 'istio-system', 'default'])
      assert.ok(await remote.client.find(CONFIG_MAPS, { namespace, name: 'istio-ca-root-cert' }), namespace);
  }, DEADLINE_MS);
  await detach();
  await eventually(async () => assert.equal((await ask('cluster2')).code, UNAUTHENTICATED), DEADLINE_MS);
});

test('MC-16 states in /debug/clusterz and in the metrics agree, whatever they are', async () => {
  await using mesh = await startHarness();
  await using remote = await startRemote('cluster2');
  await using absent = await startRemote('cluster3');
  const agree = async (expected: Readonly<Record<string, string>>): Promise<void> =>
    await eventually(async () => {
      const rows = (await mesh.debug<readonly ClusterStatus[]>('/debug/clusterz')).slice(1);
      assert.deepEqual(Object.fromEntries(rows.map(({ id, syncStatus }) => [id, syncStatus])), expected);
      const { body } = await fetchPage(mesh.controlPlane.ports.monitoring, '/metrics');
      const states = [...body.matchAll(/sync_status\{cluster="(.*?)",cluster_type="remote",status="(.*?)"\} 1$/gm)];
      const followed = Object.entries(expected).filter(([, state]) => state !== 'refused');
      assert.deepEqual(
        states.map(([, id, state]) => [id, state]),
        followed,
      );
      assert.match(body, new RegExp(`^istiod_managed_clusters\\{cluster_type="remote"\\} ${followed.length}$`, 'm'));
      assert.match(body, new RegExp(`^meltemi_remote_clusters_refused ${rows.length - followed.length}$`, 'm'));
    }, DEADLINE_MS);
  await agree({});
  await absent.cluster[Symbol.asyncDispose]();
  await mesh.client.create(SECRETS, remote.secret);
  await mesh.client.create(SECRETS, absent.secret);
  await mesh.client.create(SECRETS, {
    ...remote.secret,
    metadata: { ...remote.secret.metadata, name: 'broken' },
    data: { broken: 'bm8=' },
  });
  // The harness waits 2 s for clusters.
  await agree({ broken: 'refused', cluster2: 'synced', cluster3: 'timeout' });
  const [row] = (await mesh.debug<readonly ClusterStatus[]>('/debug/clusterz')).filter(({ id }) => id === 'cluster3');
  assert.match(row?.lastError ?? '', /ECONNREFUSED|connect/i);
  // Written with the rights of the control plane's account.
  await eventually(async () => {
    const { items } = await mesh.client.list(EVENTS, { namespace: 'istio-system' });
    const told = items.find(({ involvedObject: { kind, name } }) => kind === 'Secret' && name === 'broken');
    assert.match(told?.message ?? '', /^Remote cluster not taken from its secret: broken: /);
  }, DEADLINE_MS);
  for (const name of ['broken', absent.secret.metadata.name])
    await mesh.client.delete(SECRETS, { namespace: 'istio-system', name });
  await agree({ cluster2: 'synced' });
  await remote.cluster.restart();
  await agree({ cluster2: 'synced' });
});

test('MC-10 kubeconfigs in a folder attach clusters, and win over remote secrets', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-kubeconfigs-'));
  try {
    await using mesh = await startHarness([`--multicluster-kubeconfig-path=${directory}`]);
    await using remote = await startRemote('cluster2');
    await remote.cluster.createNamespace('app1');
    await serveHelloworld(remote.client, '10.12.1.1');
    const clusters = async (): Promise<unknown> =>
      (await mesh.debug<readonly ClusterStatus[]>('/debug/clusterz')).map(({ id, secretName, syncStatus }) => [
        id,
        secretName,
        syncStatus,
      ]);
    const own = ['cluster1', '', 'synced'];
    await mesh.client.create(SECRETS, {
      ...remote.secret,
      data: { ignored: Object.values(remote.secret.data ?? {})[0] ?? '' },
    });
    const file = join(directory, 'any-name.yaml');
    const kubeconfig = Buffer.from(remote.secret.data?.['cluster2'] ?? '', 'base64').toString('utf8');
    // The cluster is known by the name that the current context gives it.
    writeFileSync(file, kubeconfig.replaceAll(/\bistio-reader-service-account$/gm, 'cluster2'));
    await eventually(async () => assert.deepEqual(await clusters(), [own, ['cluster2', file, 'synced']]), DEADLINE_MS);
    await eventually(async () => assert.deepEqual(await endpointsOf(mesh), { cluster2: ['10.12.1.1'] }), DEADLINE_MS);
    rmSync(file);
    await eventually(async () => assert.deepEqual(await clusters(), [own]), DEADLINE_MS);
    await eventually(async () => assert.deepEqual(await endpointsOf(mesh), {}), DEADLINE_MS);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test('MC-11 MC-12 MC-14 a cluster that is unreachable at the start does not keep the control plane, and joins once its secret is right', async () => {
  await using remote = await startRemote('cluster2');
  await remote.cluster.createNamespace('app1');
  await serveHelloworld(remote.client, '10.12.1.1');
  const good = remote.secret.data?.['cluster2'] ?? '';
  const wrong = Buffer.from(good, 'base64').toString('utf8').replaceAll(remote.cluster.url, 'https://127.0.0.1:1');
  const secret = { ...remote.secret, data: { cluster2: Buffer.from(wrong).toString('base64') } };
  const startedMs = performance.now();
  await using mesh = await startHarness([], {
    install: (manifests) => [
      ...manifests.filter(({ kind }) => kind !== 'ValidatingWebhookConfiguration'),
      { ...secret },
    ],
  });
  const waitedMs = performance.now() - startedMs;
  assert.ok(waitedMs > 2_000 && waitedMs < 35_000, `ready after ${waitedMs} ms`);
  assert.equal((await fetchPage(mesh.controlPlane.ports.http, '/ready')).status, 200);
  const row = await rowOf(mesh, 'cluster2');
  assert.equal(row?.syncStatus, 'timeout');
  assert.match(row.lastError ?? '', /127\.0\.0\.1:1/);
  const { body } = await fetchPage(mesh.controlPlane.ports.monitoring, '/metrics');
  assert.match(body, /^remote_cluster_sync_timeouts_total\{cluster="cluster2"\} 1$/m);
  await mesh.client.update(SECRETS, { ...secret, data: { cluster2: good } });
  await eventually(async () => assert.equal((await rowOf(mesh, 'cluster2'))?.syncStatus, 'synced'), DEADLINE_MS);
  await eventually(async () => assert.deepEqual(await endpointsOf(mesh), { cluster2: ['10.12.1.1'] }), DEADLINE_MS);
});
