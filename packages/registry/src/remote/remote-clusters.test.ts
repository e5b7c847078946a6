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
import { eventually as eventuallyWithin, ManualClock } from '@meltemi/testing';
import { Registry } from 'prom-client';
import { type AggregateRegistry, createAggregateRegistry } from '../merge/aggregate-registry.ts';
import { createRegistryMetrics } from '../metrics.ts';
import { testRegistry } from '../testing/test-registry.ts';
import { createRemoteClusters, type RemoteClusters, type RemoteClustersOptions } from './remote-clusters.ts';
import { createSecretSource } from './secret-source.ts';

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
  /** Fields of each warning. */
  readonly warnings: string[];
  addresses(): readonly string[];
  /** The metrics, brought up to date. */
  text(): Promise<string>;
}

function setUp(servers: Readonly<Record<string, FakeKubeClient>>, options: Partial<RemoteClustersOptions> = {}): Setup {
  const local = new FakeKubeClient();
  const aggregate = createAggregateRegistry({ log: silentLog });
  const metrics = new Registry();
  const connects: string[] = [];
  const attached: string[] = [];
  const warnings: string[] = [];
  const log = { ...silentLog, warn: (_message: string, fields?: object) => warnings.push(JSON.stringify(fields)) };
  const connect = (clusterId: string, access: ClusterAccess): ReturnType<RemoteClustersOptions['connect']> => {
    connects.push(access.server);
    const client = servers[access.server];
    if (client === undefined) throw new Error(`no fake for ${access.server}`);
    const registry = testRegistry({ clusterId, client });
    return { client, registry };
  };
  const remotes = createRemoteClusters({
    source: createSecretSource({ client: local, namespace: 'istio-system', clock: systemClock, log: silentLog }),
    localClusterId: 'cluster1',
    aggregate,
    connect,
    onAttach: ({ clusterId }) => attached.push(clusterId),
    clock: systemClock,
    log,
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
    warnings,
    text() {
      remotes.reportMetrics();
      return metrics.metrics();
    },
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
  assert.deepEqual(mesh.remotes.ids(), ['cluster2']);
  assert.deepEqual(
    mesh.remotes.list().map(({ id, secretName, syncStatus }) => [id, secretName, syncStatus]),
    [
      ['cluster1', 'istio-system/b', 'refused'],
      ['cluster2', 'istio-system/a', 'synced'],
      ['cluster2', 'istio-system/b', 'refused'],
    ],
  );
  assert.deepEqual(mesh.connects, ['https://c2']);
  assert.deepEqual(mesh.addresses(), ['10.12.1.1']);
  const warned = mesh.warnings.join('\n');
  assert.match(warned, /"cluster":"cluster2","secret":"istio-system\/b","reason":"istio-system\/a names this cluster/);
  assert.match(
    warned,
    /"cluster":"cluster1","secret":"istio-system\/b","reason":"the cluster is this control plane's own/,
  );
  // The first one gone, the second takes over.
  await mesh.local.delete(SECRETS, { namespace: 'istio-system', name: 'a' });
  await eventually(() => assert.deepEqual(mesh.addresses(), ['10.99.1.1']));
  assert.deepEqual(
    mesh.remotes.list().map(({ id, syncStatus }) => [id, syncStatus]),
    [
      ['cluster1', 'refused'],
      ['cluster2', 'synced'],
    ],
  );
});

test('MC-08 MC-09 a malformed kubeconfig, and one that would run commands, affect nobody else', async () => {
  await using mesh = setUp({ 'https://c2': remoteCluster('10.12.1.1') });
  const executing = kubeconfig('https://c2').replace(/token: .*/, 'exec: {command: /bin/evil}');
  mesh.local.seed(
    SECRETS,
    secret('bad', { cluster3: 'not: [a kubeconfig', cluster4: executing }),
    secret('good', { cluster2: kubeconfig('https://c2') }),
  );
  await mesh.remotes.start(new AbortController().signal);
  const states = (): unknown => mesh.remotes.list().map(({ id, syncStatus }) => [id, syncStatus]);
  assert.deepEqual(states(), [
    ['cluster2', 'synced'],
    ['cluster3', 'refused'],
    ['cluster4', 'refused'],
  ]);
  assert.deepEqual(mesh.addresses(), ['10.12.1.1']);
  assert.match(await mesh.text(), /^meltemi_remote_clusters_refused 2$/m);
  assert.ok(mesh.warnings.some((text) => text.includes('cluster3')));
  assert.ok(mesh.warnings.some((text) => text.includes('cluster4') && text.includes('exec')));
  // A bad text in the place of a good one takes nothing away, and the good one again is as if nothing had been.
  const good = kubeconfig('https://c2');
  await mesh.local.update(SECRETS, secret('good', { cluster2: 'not: [a kubeconfig' }));
  await eventually(() => assert.match(mesh.remotes.list()[0]?.lastError ?? '', /not YAML/));
  assert.equal(mesh.remotes.list()[0]?.syncStatus, 'synced');
  assert.deepEqual(mesh.addresses(), ['10.12.1.1']);
  await mesh.local.update(SECRETS, secret('good', { cluster2: good }));
  await eventually(() => assert.equal(mesh.remotes.list()[0]?.lastError, undefined));
  assert.equal(mesh.connects.length, 1);
  // What nobody names any more is forgotten.
  await mesh.local.delete(SECRETS, { namespace: 'istio-system', name: 'bad' });
  await eventually(() => assert.deepEqual(states(), [['cluster2', 'synced']]));
});

test('MC-11 MC-12 an unreachable cluster holds up the start for 30 s and no longer, and is synced once it answers', async () => {
  const remote = remoteCluster('10.12.1.1');
  const recover = remote.failWhen(REFUSING);
  const clock = new ManualClock();
  await using mesh = setUp({ 'https://c2': remote, 'https://c3': remoteCluster('10.13.1.1') }, { clock });
  mesh.local.seed(SECRETS, secret('c', { cluster2: kubeconfig('https://c2'), cluster3: kubeconfig('https://c3') }));
  let isReady = false;
  const ready = mesh.remotes.start(new AbortController().signal).then(() => (isReady = true));
  await eventually(() => assert.equal(mesh.remotes.list()[1]?.syncStatus, 'synced'));
  clock.advance(29_900);
  await new Promise(setImmediate);
  assert.equal(isReady, false);
  assert.equal(mesh.remotes.list()[0]?.syncStatus, 'syncing');
  clock.advance(200);
  await ready;
  assert.deepEqual(
    mesh.remotes.list().map(({ id, syncStatus }) => [id, syncStatus]),
    [
      ['cluster2', 'timeout'],
      ['cluster3', 'synced'],
    ],
  );
  assert.deepEqual(mesh.addresses(), ['10.13.1.1'], 'the others are served');
  assert.match(mesh.remotes.list()[0]?.lastError ?? '', /connection refused/);
  const text = await mesh.text();
  assert.match(text, /^remote_cluster_sync_timeouts_total\{cluster="cluster2"\} 1$/m);
  assert.match(text, /sync_status\{cluster="cluster2",cluster_type="remote",status="timeout"\} 1/);
  recover();
  await eventually(() => assert.equal(mesh.remotes.list()[0]?.syncStatus, 'synced'));
  assert.deepEqual(mesh.addresses().toSorted(), ['10.12.1.1', '10.13.1.1']);
  assert.match(await mesh.text(), /sync_status\{cluster="cluster2",cluster_type="remote",status="timeout"\} 0/);
});

test('a cluster that comes while running holds up nothing, and its timeout is told too; 0 waits for ever', async () => {
  const remote = remoteCluster('10.12.1.1');
  remote.failWhen(REFUSING);
  const clock = new ManualClock();
  await using mesh = setUp({ 'https://c2': remote }, { clock });
  await mesh.remotes.start(new AbortController().signal);
  await mesh.local.create(SECRETS, secret('c2', { cluster2: kubeconfig('https://c2') }));
  await eventually(() => assert.equal(mesh.remotes.list()[0]?.syncStatus, 'syncing'));
  clock.advance(30_100);
  await eventually(() => assert.equal(mesh.remotes.list()[0]?.syncStatus, 'timeout'));
  await using patient = setUp({ 'https://c2': remote }, { clock, syncTimeoutMs: 0 });
  patient.local.seed(SECRETS, secret('c2', { cluster2: kubeconfig('https://c2') }));
  void patient.remotes.start(new AbortController().signal);
  await eventually(() => assert.equal(patient.remotes.list().length, 1));
  clock.advance(3_600_000);
  await new Promise(setImmediate);
  assert.equal(patient.remotes.list()[0]?.syncStatus, 'syncing');
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

test('a deleted secret takes endpoints and virtual addresses out, after a moment in which sidecars serve who still calls them', async () => {
  const clock = new ManualClock();
  await using mesh = setUp({ 'https://c2': remoteCluster('10.12.1.1') }, { clock });
  const attach = secret('c2', { cluster2: kubeconfig('https://c2') });
  const healths = (): readonly string[] =>
    [...mesh.aggregate.inputs().endpoints.values()].flatMap((shards) =>
      [...shards.values()].flat().map(({ health }) => health),
    );
  mesh.local.seed(SECRETS, attach);
  await mesh.remotes.start(new AbortController().signal);
  assert.deepEqual(healths(), ['healthy']);
  await mesh.local.delete(SECRETS, { namespace: 'istio-system', name: 'c2' });
  await eventually(() => assert.deepEqual(mesh.remotes.list(), []));
  await eventually(() => assert.deepEqual(healths(), ['terminating']));

  await mesh.local.create(SECRETS, attach);
  await eventually(() => assert.deepEqual(healths(), ['healthy']));
  clock.advance(5_000);
  assert.deepEqual(healths(), ['healthy'], 'it came back in the meantime');

  await mesh.local.delete(SECRETS, { namespace: 'istio-system', name: 'c2' });
  await eventually(() => assert.deepEqual(healths(), ['terminating']));
  clock.advance(5_000);
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

test('several secrets with hundreds of clusters are followed, up to a limit, and leave nothing behind', async () => {
  const remote = remoteCluster('10.12.1.1');
  await using mesh = setUp({ 'https://c2': remote }, { maxClusters: 300 });
  const config = kubeconfig('https://c2');
  const named = (from: number): Secret =>
    secret(`s${from}`, Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`c${from + index}`, config])));
  mesh.local.seed(SECRETS, named(100), named(200), named(300), named(400));
  await mesh.remotes.start(new AbortController().signal);
  assert.equal(mesh.remotes.list().filter(({ syncStatus }) => syncStatus === 'synced').length, 300);
  const refused = mesh.remotes.list().filter(({ syncStatus }) => syncStatus === 'refused');
  assert.equal(refused.length, 100);
  assert.match(refused[0]?.lastError ?? '', /there are 300 remote clusters already/);
  const text = await mesh.text();
  assert.match(text, /^istiod_managed_clusters\{cluster_type="remote"\} 300$/m);
  assert.match(text, /^meltemi_remote_clusters_refused 100$/m);
  // A place that becomes free is taken by one that waits.
  await mesh.local.update(SECRETS, secret('s100', { c100: config }));
  await eventually(() => assert.equal(mesh.remotes.ids().length, 201 + 99));
  for (const from of [100, 200, 300, 400])
    await mesh.local.delete(SECRETS, { namespace: 'istio-system', name: `s${from}` });
  await eventually(() => assert.deepEqual(mesh.remotes.list(), []));
  await eventually(() => assert.deepEqual(mesh.aggregate.clusterIds, []));
  assert.doesNotMatch(await mesh.text(), /cluster="c\d+"/);
});
