import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog, systemClock } from '@meltemi/base';
import {
  buildKubeconfig,
  type ClusterAccess,
  ENDPOINT_SLICES,
  KubeError,
  PODS,
  SECRETS,
  SERVICES,
  type Secret,
} from '@meltemi/kube';
import { FakeKubeClient } from '@meltemi/kube/testing';
import { eventually as eventuallyWithin } from '@meltemi/testing';
import { Registry } from 'prom-client';
import { createKubernetesRegistry } from '../kubernetes/kubernetes-registry.ts';
import { type AggregateRegistry, createAggregateRegistry } from '../merge/aggregate-registry.ts';
import { createRegistryMetrics } from '../metrics.ts';
import { createRemoteClusters, type RemoteClusters, type RemoteClustersOptions } from './remote-clusters.ts';

const DEADLINE_MS = 5000;

function eventually(check: () => void | Promise<void>): Promise<void> {
  return eventuallyWithin(check, DEADLINE_MS, 5);
}

const KEY = 'app1/helloworld.app1.svc.cluster.local';

function kubeconfig(server: string, token = 't1'): string {
  return buildKubeconfig([{ name: 'remote', server, token }]);
}

function secret(name: string, clusters: Readonly<Record<string, string>>): Secret {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: 'istio-system', labels: { 'istio/multiCluster': 'true' } },
    data: Object.fromEntries(Object.entries(clusters).map(([id, text]) => [id, Buffer.from(text).toString('base64')])),
  };
}

/** A cluster that serves helloworld from one pod. */
function remoteCluster(address: string): FakeKubeClient {
  const client = new FakeKubeClient();
  client.seed(SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'helloworld', namespace: 'app1' },
    spec: { clusterIP: address.replace('10.', '10.1'), ports: [{ name: 'http', port: 5000 }] },
  });
  client.seed(PODS, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'app1' },
    spec: { containers: [] },
    status: { podIP: address },
  });
  client.seed(ENDPOINT_SLICES, {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 's', namespace: 'app1', labels: { 'kubernetes.io/service-name': 'helloworld' } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 5000 }],
    endpoints: [{ addresses: [address], targetRef: { kind: 'Pod', name: 'p' } }],
  });
  return client;
}

interface Setup extends AsyncDisposable {
  readonly local: FakeKubeClient;
  readonly aggregate: AggregateRegistry;
  readonly remotes: RemoteClusters;
  readonly metrics: Registry;
  /** How often clients were made, by server. */
  readonly connects: string[];
  readonly attached: string[];
  addresses(): readonly string[];
}

function setUp(servers: Readonly<Record<string, FakeKubeClient>>, options: Partial<RemoteClustersOptions> = {}): Setup {
  const local = new FakeKubeClient();
  const aggregate = createAggregateRegistry({ log: silentLog });
  const metrics = new Registry();
  const connects: string[] = [];
  const attached: string[] = [];
  const connect = (clusterId: string, access: ClusterAccess): ReturnType<RemoteClustersOptions['connect']> => {
    connects.push(access.server);
    const client = servers[access.server];
    if (client === undefined) throw new Error(`no fake for ${access.server}`);
    const registry = createKubernetesRegistry({
      clusterId,
      client,
      systemNamespace: 'istio-system',
      domainSuffix: 'cluster.local',
      trustDomain: () => 'cluster.local',
      log: silentLog,
      // Retries at once, so that recovery needs no waiting.
      random: () => 0.001,
    });
    return { client, registry };
  };
  const remotes = createRemoteClusters({
    client: local,
    namespace: 'istio-system',
    localClusterId: 'cluster1',
    aggregate,
    connect,
    onAttach: ({ clusterId }) => attached.push(clusterId),
    clock: systemClock,
    log: silentLog,
    metrics: createRegistryMetrics(metrics),
    ...options,
  });
  return {
    local,
    aggregate,
    remotes,
    metrics,
    connects,
    attached,
    addresses: () =>
      [...(aggregate.inputs().endpoints.get(KEY)?.values() ?? [])].flat().map((endpoint) => endpoint.address),
    [Symbol.asyncDispose]: () => remotes[Symbol.asyncDispose](),
  };
}

const REFUSING = (): KubeError => new KubeError('connection refused', { statusCode: 0 });

test('MC-01 a secret added while running attaches its cluster', async () => {
  await using mesh = setUp({ 'https://c2': remoteCluster('10.12.1.1') });
  await mesh.remotes.start(new AbortController().signal);
  assert.deepEqual(mesh.remotes.list(), []);
  await mesh.local.create(SECRETS, secret('c2', { cluster2: kubeconfig('https://c2') }));
  await eventually(() => assert.equal(mesh.remotes.list()[0]?.syncStatus, 'synced'));
  assert.deepEqual(mesh.addresses(), ['10.12.1.1']);
  assert.deepEqual(mesh.attached, ['cluster2']);
  assert.equal(mesh.aggregate.inputs().services[0]?.hostname, 'helloworld.app1.svc.cluster.local');
});

test('MC-02 MC-03 one secret adds two clusters; removing a key drops one', async () => {
  await using mesh = setUp({ 'https://c2': remoteCluster('10.12.1.1'), 'https://c3': remoteCluster('10.13.1.1') });
  const both = { cluster2: kubeconfig('https://c2'), cluster3: kubeconfig('https://c3') };
  mesh.local.seed(SECRETS, secret('c', both));
  await mesh.remotes.start(new AbortController().signal);
  assert.deepEqual(mesh.addresses().toSorted(), ['10.12.1.1', '10.13.1.1']);
  await mesh.local.update(SECRETS, secret('c', { cluster3: both.cluster3 }));
  await eventually(() => assert.deepEqual(mesh.addresses(), ['10.13.1.1']));
  assert.deepEqual(
    mesh.remotes.list().map((cluster) => cluster.id),
    ['cluster3'],
  );
});

test('MC-04 the same kubeconfig applied again changes nothing', async () => {
  await using mesh = setUp({ 'https://c2': remoteCluster('10.12.1.1') });
  const object = secret('c2', { cluster2: kubeconfig('https://c2') });
  mesh.local.seed(SECRETS, object);
  await mesh.remotes.start(new AbortController().signal);
  const changes: unknown[] = [];
  mesh.aggregate.onChange((change) => changes.push(change));
  await mesh.local.update(SECRETS, { ...object, metadata: { ...object.metadata, annotations: { touched: 'yes' } } });
  await eventually(async () => assert.match(await mesh.metrics.metrics(), /events_total\{event="update"\} 1/));
  assert.deepEqual(changes, []);
  assert.equal(mesh.connects.length, 1);
});

test('MC-06 MC-07 a cluster id that another secret has, and the own one, are ignored', async () => {
  await using mesh = setUp({ 'https://c2': remoteCluster('10.12.1.1'), 'https://x': remoteCluster('10.99.1.1') });
  mesh.local.seed(
    SECRETS,
    secret('a', { cluster2: kubeconfig('https://c2') }),
    secret('b', { cluster2: kubeconfig('https://x'), cluster1: kubeconfig('https://x') }),
  );
  await mesh.remotes.start(new AbortController().signal);
  assert.deepEqual(
    mesh.remotes.list().map(({ id, secretName }) => [id, secretName]),
    [['cluster2', 'istio-system/a']],
  );
  assert.deepEqual(mesh.connects, ['https://c2']);
  // The first one gone, the second takes over.
  await mesh.local.delete(SECRETS, { namespace: 'istio-system', name: 'a' });
  await eventually(() => assert.deepEqual(mesh.addresses(), ['10.99.1.1']));
});

test('MC-08 MC-09 a malformed kubeconfig, and one that would run commands, affect nobody else', async () => {
  const warnings: string[] = [];
  const log = { ...silentLog, warn: (_message: string, fields?: object) => warnings.push(JSON.stringify(fields)) };
  await using mesh = setUp({ 'https://c2': remoteCluster('10.12.1.1') }, { log });
  const executing = kubeconfig('https://c2').replace(/token: .*/, 'exec: {command: /bin/evil}');
  mesh.local.seed(
    SECRETS,
    secret('bad', { cluster3: 'not: [a kubeconfig', cluster4: executing }),
    secret('good', { cluster2: kubeconfig('https://c2') }),
  );
  await mesh.remotes.start(new AbortController().signal);
  assert.deepEqual(
    mesh.remotes.list().map(({ id, syncStatus }) => [id, syncStatus]),
    [['cluster2', 'synced']],
  );
  assert.ok(warnings.some((text) => text.includes('cluster3')));
  assert.ok(warnings.some((text) => text.includes('cluster4') && text.includes('exec')));
});

test('MC-11 MC-12 an unreachable cluster does not hold up the start, and is synced once it answers', async () => {
  const remote = remoteCluster('10.12.1.1');
  const recover = remote.failWhen(REFUSING);
  await using mesh = setUp({ 'https://c2': remote }, { syncTimeoutMs: 20 });
  mesh.local.seed(SECRETS, secret('c2', { cluster2: kubeconfig('https://c2') }));
  await mesh.remotes.start(new AbortController().signal);
  assert.equal(mesh.remotes.list()[0]?.syncStatus, 'timeout');
  assert.match(mesh.remotes.list()[0]?.lastError ?? '', /connection refused/);
  assert.match(await mesh.metrics.metrics(), /remote_cluster_sync_timeouts_total\{cluster="cluster2"\} 1/);
  recover();
  await eventually(() => assert.equal(mesh.remotes.list()[0]?.syncStatus, 'synced'));
  assert.deepEqual(mesh.addresses(), ['10.12.1.1']);
});

test('rotated credentials replace the connection only when they work; until then the old one serves', async () => {
  const rotated = remoteCluster('10.12.1.1');
  const recover = rotated.failWhen(REFUSING);
  await using mesh = setUp({ 'https://old': remoteCluster('10.12.1.1'), 'https://new': rotated });
  mesh.local.seed(SECRETS, secret('c2', { cluster2: kubeconfig('https://old') }));
  await mesh.remotes.start(new AbortController().signal);
  await mesh.local.update(SECRETS, secret('c2', { cluster2: kubeconfig('https://new') }));
  await eventually(() => assert.match(mesh.remotes.list()[0]?.lastError ?? '', /connection refused/));
  assert.equal(mesh.remotes.list()[0]?.syncStatus, 'updating');
  assert.equal(mesh.remotes.clientOf('cluster2')?.server, 'https://fake.invalid');
  assert.deepEqual(mesh.addresses(), ['10.12.1.1']);
  recover();
  await eventually(() => assert.equal(mesh.remotes.list()[0]?.syncStatus, 'synced'));
  assert.deepEqual(mesh.attached, ['cluster2', 'cluster2']);
});

test('MC-14 a wrong server address that is corrected recovers', async () => {
  const unreachable = remoteCluster('10.99.1.1');
  unreachable.failWhen(REFUSING);
  await using mesh = setUp(
    { 'https://wrong': unreachable, 'https://c2': remoteCluster('10.12.1.1') },
    { syncTimeoutMs: 20 },
  );
  mesh.local.seed(SECRETS, secret('c2', { cluster2: kubeconfig('https://wrong') }));
  await mesh.remotes.start(new AbortController().signal);
  assert.equal(mesh.remotes.list()[0]?.syncStatus, 'timeout');
  await mesh.local.update(SECRETS, secret('c2', { cluster2: kubeconfig('https://c2') }));
  await eventually(() => assert.equal(mesh.remotes.list()[0]?.syncStatus, 'synced'));
  assert.deepEqual(mesh.addresses(), ['10.12.1.1']);
});

test('a cluster whose API is lost is degraded, and what was last seen serves on until it is back', async () => {
  const remote = remoteCluster('10.12.1.1');
  await using mesh = setUp({ 'https://c2': remote });
  mesh.local.seed(SECRETS, secret('c2', { cluster2: kubeconfig('https://c2') }));
  await mesh.remotes.start(new AbortController().signal);
  const recover = remote.failWhen(REFUSING);
  // Watches end with 410, and listing anew is refused.
  remote.compact();
  remote.seed(SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'other', namespace: 'app1' },
    spec: { ports: [{ port: 80 }] },
  });
  remote.compact();
  await eventually(() => assert.equal(mesh.remotes.list()[0]?.syncStatus, 'degraded'));
  const [status] = mesh.remotes.list();
  assert.match(status?.lastError ?? '', /connection refused/);
  assert.ok(status?.lastSuccessfulWatchAgeMs !== undefined);
  assert.deepEqual(mesh.addresses(), ['10.12.1.1']);
  recover();
  await eventually(() => assert.equal(mesh.remotes.list()[0]?.syncStatus, 'synced'));
});

test('a deleted secret takes endpoints and virtual addresses out', async () => {
  await using mesh = setUp({ 'https://c2': remoteCluster('10.12.1.1') });
  mesh.local.seed(SECRETS, secret('c2', { cluster2: kubeconfig('https://c2') }));
  await mesh.remotes.start(new AbortController().signal);
  await mesh.local.delete(SECRETS, { namespace: 'istio-system', name: 'c2' });
  await eventually(() => assert.deepEqual(mesh.remotes.list(), []));
  assert.deepEqual(mesh.aggregate.inputs().services, []);
  assert.deepEqual(mesh.addresses(), []);
  assert.doesNotMatch(await mesh.metrics.metrics(), /cluster="cluster2"/);
});

test('the state of each cluster agrees with the metrics', async () => {
  await using mesh = setUp({ 'https://c2': remoteCluster('10.12.1.1') });
  mesh.local.seed(SECRETS, secret('c2', { cluster2: kubeconfig('https://c2') }));
  await mesh.remotes.start(new AbortController().signal);
  mesh.remotes.reportMetrics();
  const text = await mesh.metrics.metrics();
  assert.match(text, /istiod_remote_cluster_sync_status\{cluster="cluster2",cluster_type="remote",status="synced"\} 1/);
  assert.match(text, /istiod_managed_clusters\{cluster_type="remote"\} 1/);
  assert.equal(mesh.remotes.list()[0]?.syncStatus, 'synced');
});
