import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { silentLog, systemClock, systemRandom } from '@meltemi/base';
import {
  CONFIG_MAPS,
  createKubeClient,
  DEPLOYMENTS,
  ENDPOINT_SLICES,
  EVENTS,
  isPodReady,
  type KubeClient,
  loadKubeconfig,
  MUTATING_WEBHOOK_CONFIGURATIONS,
  NAMESPACES,
  NODES,
  PODS,
  REPLICA_SETS,
  type ResourceRef,
  SERVICES,
} from '@meltemi/kube';
import { eventually } from '@meltemi/kube/testing';
import { createTestCluster, type TestCluster } from '../api-server/testing/test-cluster.ts';
import { createControllers } from './controllers.ts';

const KEY = { namespace: 'app1', name: 'hello' };
const LABELS = { app: 'hello' };

interface Bed {
  readonly cluster: TestCluster;
  readonly client: KubeClient;
  readonly rules: string[];
}

/** An API server, the controllers over it, a node, and namespace app1. */
async function createBed(t: TestContext): Promise<Bed> {
  const cluster = await createTestCluster();
  const access = await loadKubeconfig({ path: cluster.adminKubeconfigPath });
  const client = createKubeClient({ access });
  const stop = new AbortController();
  const rules: string[] = [];
  const controllers = createControllers({
    client,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    rootCaPem: access.certificateAuthorityPem ?? '',
    restoreRules: async (text) => void rules.push(text),
  });
  t.after(async () => {
    stop.abort();
    await controllers[Symbol.asyncDispose]();
    await client[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });
  await controllers.start(stop.signal);
  await client.create(NODES, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node1' } });
  await client.create(NAMESPACES, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'app1' } });
  const rootCa = { namespace: 'app1', name: 'kube-root-ca.crt' };
  await eventually(async () => (await client.find(CONFIG_MAPS, rootCa)) !== undefined);
  return { cluster, client, rules };
}

/** Gives pods an address and readiness, and lets those go that are being deleted. */
function runFakeKubelet(t: TestContext, client: KubeClient): void {
  const stop = new AbortController();
  t.after(() => stop.abort());
  let count = 0;
  const step = async (): Promise<void> => {
    for (const pod of (await client.list(PODS)).items) {
      if (pod.metadata.deletionTimestamp !== undefined) {
        await client.delete(PODS, pod.metadata, { gracePeriodSeconds: 0, uid: pod.metadata.uid });
      } else if (!isPodReady(pod)) {
        count += 1;
        const status = { phase: 'Running', podIP: `10.11.1.${count}`, conditions: [{ type: 'Ready', status: 'True' }] };
        await client.patch(PODS, pod.metadata, { type: 'merge', body: { status } }, { subresource: 'status' });
      }
    }
  };
  const run = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await step().catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  void run();
}

async function createHello(client: KubeClient, image = 'v1'): Promise<void> {
  await client.create(DEPLOYMENTS, {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: KEY,
    spec: {
      replicas: 3,
      selector: { matchLabels: LABELS },
      template: { metadata: { labels: LABELS }, spec: { containers: [{ name: 'c', image }] } },
    },
  });
}

async function isRolledOut(client: KubeClient): Promise<boolean> {
  const { status, metadata, spec } = await client.get(DEPLOYMENTS, KEY);
  return (
    status?.observedGeneration === metadata.generation &&
    status?.updatedReplicas === spec.replicas &&
    status?.replicas === spec.replicas &&
    status?.availableReplicas === spec.replicas
  );
}

test('Controllers over the embedded API server: a Deployment rolls out, is exposed, updated and scaled', async (t) => {
  const { client, rules } = await createBed(t);
  runFakeKubelet(t, client);
  await createHello(client);
  const service = await client.create(SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: KEY,
    spec: { selector: LABELS, ports: [{ name: 'http', port: 80, targetPort: 5000 }] },
  });
  await eventually(() => isRolledOut(client), 10_000);
  await eventually(() => (rules.at(-1)?.match(/ DNAT --to-destination 10\.11\.1\./g) ?? []).length === 3);
  assert.match(rules.at(-1) ?? '', new RegExp(`-d ${service.spec.clusterIP}/32 -p tcp --dport 80 `));
  assert.match(rules.at(-1) ?? '', /-d 10\.111\.0\.1\/32 -p tcp --dport 443 /);

  const body = { spec: { template: { spec: { containers: [{ name: 'c', image: 'v2' }] } } } };
  await client.patch(DEPLOYMENTS, KEY, { type: 'strategic', body });
  await eventually(async () => {
    const { items } = await client.list(PODS, { namespace: 'app1' });
    return (
      (await isRolledOut(client)) && items.length === 3 && items.every(({ spec }) => spec.containers[0]?.image === 'v2')
    );
  }, 10_000);
  const { items } = await client.list(REPLICA_SETS, { namespace: 'app1' });
  assert.equal(items.length, 2, 'defaults that the server fills in make no new revision');
  await client.patch(DEPLOYMENTS, KEY, { type: 'merge', body: { spec: { replicas: 1 } } }, { subresource: 'scale' });
  await eventually(async () => {
    const slices = await client.list(ENDPOINT_SLICES, { namespace: 'app1' });
    return slices.items.flatMap(({ endpoints }) => endpoints ?? []).length === 1;
  }, 10_000);
});

test('Controllers over the embedded API server: deletion in the background, foreground and with orphans', async (t) => {
  const { client } = await createBed(t);
  runFakeKubelet(t, client);
  const countOf = async (ref: ResourceRef): Promise<number> =>
    (await client.list(ref, { namespace: 'app1' })).items.length;
  const count = (): Promise<readonly number[]> =>
    Promise.all([DEPLOYMENTS, REPLICA_SETS, PODS].map((ref) => countOf(ref)));
  const hasCounts = async (...wanted: readonly number[]): Promise<boolean> =>
    JSON.stringify(await count()) === JSON.stringify(wanted);

  await createHello(client);
  await eventually(() => isRolledOut(client), 10_000);
  await client.delete(DEPLOYMENTS, KEY, { propagationPolicy: 'Background' });
  await eventually(() => hasCounts(0, 0, 0), 10_000);

  await createHello(client);
  await eventually(() => isRolledOut(client), 10_000);
  await client.delete(DEPLOYMENTS, KEY, { propagationPolicy: 'Foreground' });
  await eventually(() => hasCounts(0, 0, 0), 10_000);

  await createHello(client);
  await eventually(() => isRolledOut(client), 10_000);
  await client.delete(DEPLOYMENTS, KEY, { propagationPolicy: 'Orphan' });
  await eventually(() => hasCounts(0, 1, 3), 10_000);
  await createHello(client);
  await eventually(() => isRolledOut(client), 10_000);
  assert.deepEqual(await count(), [1, 1, 3], 'the new Deployment takes the orphans in');
});

test('Controllers over the embedded API server: a namespace is deleted with all that is in it', async (t) => {
  const { client } = await createBed(t);
  runFakeKubelet(t, client);
  await createHello(client);
  await eventually(() => isRolledOut(client), 10_000);
  await client.delete(NAMESPACES, { name: 'app1' });
  const marked = await client.find(NAMESPACES, { name: 'app1' });
  assert.equal(marked?.status?.phase, 'Terminating');
  await eventually(async () => (await client.find(NAMESPACES, { name: 'app1' })) === undefined, 10_000);
  assert.equal((await client.list(PODS, { namespace: 'app1' })).items.length, 0);
  assert.equal((await client.list(CONFIG_MAPS, { namespace: 'app1' })).items.length, 0);
});

test('Controllers over the embedded API server: while a webhook is down, an event names it and pods wait', async (t) => {
  const { client } = await createBed(t);
  runFakeKubelet(t, client);
  await client.create(MUTATING_WEBHOOK_CONFIGURATIONS, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: 'injector' },
    webhooks: [
      {
        name: 'inject.meltemi.dev',
        clientConfig: { url: 'https://127.0.0.1:1/inject' },
        rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }],
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
      },
    ],
  });
  await createHello(client);
  const event = await eventually(async () => {
    const { items } = await client.list(EVENTS, { namespace: 'app1' });
    return items.find(({ reason }) => reason === 'FailedCreate') ?? false;
  }, 10_000);
  assert.match(event.message ?? '', /inject\.meltemi\.dev/);
  assert.equal((await client.list(PODS, { namespace: 'app1' })).items.length, 0);
  await client.delete(MUTATING_WEBHOOK_CONFIGURATIONS, { name: 'injector' });
  await eventually(() => isRolledOut(client), 15_000);
});

test('Controllers over the embedded API server: they go on when the server was away', async (t) => {
  const { client, cluster } = await createBed(t);
  runFakeKubelet(t, client);
  await cluster.restart();
  await createHello(client);
  await eventually(() => isRolledOut(client), 20_000);
});
