import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { silentLog, systemClock, systemRandom } from '@meltemi/base';
import {
  CONFIG_MAPS,
  type ConfigMap,
  createInformer,
  createKubeClient,
  ENDPOINT_SLICES,
  type KubeClient,
  loadKubeconfig,
  PODS,
  SERVICES,
} from '@meltemi/kube';
import { createTestCluster, type TestCluster } from '@meltemi/local/api-server/testing';
import { createKubernetesRegistry } from '@meltemi/registry';
import { eventually } from '@meltemi/testing';
import { type Fault, startFaultyGateway } from './faulty-gateway.ts';

const DEADLINE_MS = 20_000;
const NAMESPACE = 'app1';
/** Writes of the storm; the API server restarts in the middle of them. */
const WRITE_COUNT = 600;
/** For the writes, however slow the machine is. */
const STORM_DEADLINE_MS = 180_000;

/** The same storm in every run. */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

/** Deals every trouble there is, in turns; no watch lasts long, wherever it is cut. */
function dealFaults(random: () => number): (isWatch: boolean) => Fault {
  const refusals: readonly Fault[] = [401, 403, 500, 503].map((status) => ({ do: 'answer', status }));
  const both: readonly Fault[] = [
    ...refusals,
    { do: 'reset' },
    { do: 'answer', status: 429, headers: { 'retry-after': '0' } },
  ];
  const ofLists: readonly Fault[] = [
    { do: 'pass' },
    ...both,
    { do: 'cut', afterBytes: 500 },
    { do: 'slow', delayMs: 60 },
  ];
  const ofWatches: readonly Fault[] = [
    ...both,
    { do: 'silence' },
    { do: 'expire' },
    { do: 'slow', delayMs: 20 },
    { do: 'pass' },
  ];
  const counts = { list: 0, watch: 0 };
  return (isWatch) => {
    const faults = isWatch ? ofWatches : ofLists;
    const fault = faults[(isWatch ? counts.watch++ : counts.list++) % faults.length] as Fault;
    return isWatch && fault.do === 'pass' ? { do: 'cut', afterBytes: Math.floor(4_000 * random()) } : fault;
  };
}

async function adminOf(cluster: TestCluster): Promise<{ client: KubeClient; certificatePem: string; keyPem: string }> {
  const access = await loadKubeconfig({ path: cluster.adminKubeconfigPath });
  const certificate = access.credentials.clientCertificate;
  assert.ok(certificate !== undefined);
  return { client: createKubeClient({ access }), ...certificate };
}

/** Checks, event by event, that what is told is a possible life of each object. */
function followLives(): {
  readonly present: Map<string, { readonly uid: string; readonly version: bigint }>;
  readonly handlers: Record<'onAdd' | 'onUpdate' | 'onDelete', (object: ConfigMap) => void>;
  readonly faults: string[];
} {
  const present = new Map<string, { readonly uid: string; readonly version: bigint }>();
  const faults: string[] = [];
  const read = ({ metadata }: ConfigMap): { name: string; uid: string; version: bigint } => ({
    name: metadata.name,
    uid: metadata.uid ?? '',
    version: BigInt(metadata.resourceVersion ?? '0'),
  });
  const handlers = {
    onAdd(object: ConfigMap) {
      const { name, ...rest } = read(object);
      if (present.has(name)) faults.push(`${name} was added twice`);
      present.set(name, rest);
    },
    onUpdate(object: ConfigMap) {
      const { name, uid, version } = read(object);
      const known = present.get(name);
      if (known === undefined) faults.push(`${name} was changed before it was added`);
      else if (known.uid !== uid) faults.push(`${name} became another object without being removed`);
      else if (known.version >= version) faults.push(`${name} went back in time`);
      present.set(name, { uid, version });
    },
    onDelete(object: ConfigMap) {
      if (!present.delete(object.metadata.name)) faults.push(`${object.metadata.name} was removed without being there`);
    },
  };
  return { present, handlers, faults };
}

test('An informer loses nothing and invents nothing in a storm of resets, refusals, cut lines, silence and 410s', async (t) => {
  await using cluster = await createTestCluster();
  await cluster.createNamespace(NAMESPACE);
  const { client, certificatePem, keyPem } = await adminOf(cluster);
  await using _client = client;
  const random = seededRandom(20_261_126);
  const deal = dealFaults(random);
  let isCalm = false;
  await using gateway = await startFaultyGateway(
    { url: cluster.url, ca: cluster.ca, certificatePem, keyPem },
    ({ isWatch }) => (isCalm ? { do: 'pass' } : deal(isWatch)),
  );
  await using spoiled = createKubeClient({
    access: { name: 'spoiled', server: gateway.url, certificateAuthorityPem: gateway.ca, credentials: {} },
  });
  const informer = createInformer({
    client: spoiled,
    ref: CONFIG_MAPS,
    namespace: NAMESPACE,
    backoff: { baseMs: 5, maxMs: 40 },
    silenceMs: 150,
  });
  const lives = followLives();
  informer.subscribe(lives.handlers);
  const stop = new AbortController();
  t.after(() => stop.abort());
  void informer.start(stop.signal);

  const writer = seededRandom(7);
  const startedMs = performance.now();
  let writeCount = 0;
  const faults = ['reset', 'answer', 'cut', 'silence', 'expire', 'slow'] as const;
  const isDealt = (): boolean => faults.every((fault) => (gateway.dealt.get(fault) ?? 0) > 0);
  while (writeCount < WRITE_COUNT || !isDealt()) {
    assert.ok(
      performance.now() - startedMs < STORM_DEADLINE_MS,
      `only ${writeCount} writes, ${JSON.stringify([...gateway.dealt])}`,
    );
    const name = `m${Math.floor(writer() * 40)}`;
    const key = { namespace: NAMESPACE, name };
    const object = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: key,
      data: { at: String(writeCount), pad: 'ä'.repeat(200) },
    };
    if (writer() < 0.25) await client.delete(CONFIG_MAPS, key).catch(() => undefined);
    else await client.apply(CONFIG_MAPS, object, { fieldManager: 'storm' });
    writeCount += 1;
    if (writeCount === WRITE_COUNT / 2) await cluster.restart();
  }
  const stormSeconds = (performance.now() - startedMs) / 1_000;
  const stormRequests = gateway.requestCount;
  isCalm = true;
  const truth = async (): Promise<readonly string[]> =>
    (await client.list(CONFIG_MAPS, { namespace: NAMESPACE })).items
      .map(({ metadata }) => `${metadata.name}@${metadata.resourceVersion}`)
      .toSorted();
  const wanted = await truth();
  await eventually(() => {
    const seen = informer.store.list().map(({ metadata }) => `${metadata.name}@${metadata.resourceVersion}`);
    assert.deepEqual(seen.toSorted(), wanted);
  }, DEADLINE_MS);
  assert.deepEqual(lives.faults, []);
  assert.equal(lives.present.size, wanted.length);
  t.diagnostic(`${writeCount} writes, ${gateway.requestCount} requests: ${JSON.stringify([...gateway.dealt])}`);
  // A pause of some milliseconds after each failure: without one there would be thousands in a second.
  assert.ok(stormRequests < 400 * Math.max(1, stormSeconds), `${stormRequests} requests in ${stormSeconds} s`);
});

/** Used memory of JavaScript objects once everything that is not needed is gone. */
function retainedBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

/** A pod as a real cluster has them: most of it is of no interest to a mesh. */
function fatPod(index: number): object {
  const env = Array.from({ length: 30 }, (_, at) => ({
    name: `SETTING_${at}`,
    value: `value-${index}-${'x'.repeat(40)}`,
  }));
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `p${index}`,
      namespace: NAMESPACE,
      labels: { app: `app${index % 100}` },
      annotations: { 'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify(env) },
    },
    spec: { serviceAccountName: 'default', nodeName: 'n1', containers: [{ name: 'app', image: 'app', env }] },
  };
}

function sliceOf(service: number, podCount: number): object {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `app${service}-1`,
      namespace: NAMESPACE,
      labels: { 'kubernetes.io/service-name': `app${service}` },
    },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: Array.from({ length: podCount }, (_, at) => ({
      addresses: [`10.11.${service}.${at + 1}`],
      conditions: { ready: true },
      targetRef: { kind: 'Pod', namespace: NAMESPACE, name: `p${at * 100 + service}` },
    })),
  };
}

test('A registry reads a cluster of 1,000 pods in bounded memory and time', async (t) => {
  await using cluster = await createTestCluster();
  await cluster.createNamespace(NAMESPACE);
  const { client } = await adminOf(cluster);
  await using _client = client;
  const create = async (plan: readonly (() => Promise<unknown>)[]): Promise<void> => {
    for (let at = 0; at < plan.length; at += 12) await Promise.all(plan.slice(at, at + 12).map((work) => work()));
  };
  await create(Array.from({ length: 1_000 }, (_, index) => () => client.create(PODS, fatPod(index) as never)));
  await create(
    Array.from({ length: 100 }, (_, index) => async () => {
      await client.create(SERVICES, {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: `app${index}`, namespace: NAMESPACE },
        spec: { selector: { app: `app${index}` }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
      } as never);
      await client.create(ENDPOINT_SLICES, sliceOf(index, 10) as never);
    }),
  );

  const before = retainedBytes();
  const startedMs = performance.now();
  const registry = createKubernetesRegistry({
    clusterId: 'cluster1',
    client,
    systemNamespace: 'istio-system',
    domainSuffix: 'cluster.local',
    trustDomain: () => 'cluster.local',
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });
  const stop = new AbortController();
  t.after(() => stop.abort());
  await registry.start(stop.signal);
  assert.equal(registry.services().size, 101, 'app0 to app99, and the API server itself');
  assert.equal([...registry.endpoints().values()].flat().length, 1_001);
  const tookMs = performance.now() - startedMs;
  const perPodBytes = (retainedBytes() - before) / 1_000;
  t.diagnostic(`${Math.round(perPodBytes)} bytes for each pod, ${Math.round(tookMs)} ms`);
  // Measured: about 2 KiB with everything that hangs on a pod; the objects as served are six times as large.
  assert.ok(perPodBytes < 6_000, `${Math.round(perPodBytes)} bytes for each pod`);
  assert.ok(tookMs < 8_000, `${Math.round(tookMs)} ms`);
});
