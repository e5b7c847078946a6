import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { silentLog, systemClock, systemRandom } from '@meltemi/base';
import {
  CONFIG_MAPS,
  DEPLOYMENTS,
  type Deployment,
  ENDPOINT_SLICES,
  type EndpointSlice,
  EVENTS,
  isPodReady,
  KubeError,
  NAMESPACES,
  type NewObject,
  PODS,
  type Pod,
  REPLICA_SETS,
  SERVICE_ACCOUNTS,
  SERVICES,
} from '@meltemi/kube';
import { eventually, FakeKubeClient } from '@meltemi/kube/testing';
import { type ControllersOptions, createControllers } from './controllers.ts';

const NAMESPACE = 'app1';
const KEY = { namespace: NAMESPACE, name: 'hello' };

function deployment(version: string, spec: Partial<Deployment['spec']> = {}): NewObject<Deployment> {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: KEY,
    spec: {
      replicas: 3,
      selector: { matchLabels: { app: 'hello' } },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: {
        metadata: { labels: { app: 'hello', version } },
        spec: { containers: [{ name: 'c', image: version }] },
      },
      ...spec,
    },
  };
}

/** Serves discovery of the kinds that the tests use, and the `finalize` subresource. */
function createCluster(): FakeKubeClient {
  const client = new FakeKubeClient();
  const resource = (name: string, kind: string, namespaced = true): object => ({
    name,
    kind,
    namespaced,
    verbs: ['list', 'delete', 'get'],
  });
  const documents: Readonly<Record<string, object>> = {
    '/readyz': {},
    '/apis': { groups: [{ preferredVersion: { groupVersion: 'apps/v1' } }] },
    '/api/v1': {
      groupVersion: 'v1',
      resources: [
        resource('pods', 'Pod'),
        resource('configmaps', 'ConfigMap'),
        resource('namespaces', 'Namespace', false),
      ],
    },
    '/apis/apps/v1': {
      groupVersion: 'apps/v1',
      resources: [resource('deployments', 'Deployment'), resource('replicasets', 'ReplicaSet')],
    },
  };
  client.onRequest = ({ path }) => ({ status: 200, headers: {}, body: JSON.stringify(documents[path]) });
  return client;
}

async function startControllers(
  t: TestContext,
  client: FakeKubeClient,
  options: Partial<ControllersOptions> = {},
): Promise<void> {
  const stop = new AbortController();
  const controllers = createControllers({
    client,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    rootCaPem: 'root certificate',
    ...options,
  });
  t.after(async () => {
    stop.abort();
    await controllers[Symbol.asyncDispose]();
  });
  await controllers.start(stop.signal);
}

/** Makes every pod ready with an address, one at a time and a little later, as a kubelet would. */
function runFakeKubelet(t: TestContext, client: FakeKubeClient, onStep: () => void = () => {}): void {
  let isRunning = true;
  let count = 0;
  t.after(() => {
    isRunning = false;
  });
  const step = async (): Promise<void> => {
    while (isRunning) {
      const next = client.objects(PODS).find((pod) => !isPodReady(pod));
      onStep();
      if (next !== undefined) {
        count += 1;
        const status = { phase: 'Running', podIP: `10.11.1.${count}`, conditions: [{ type: 'Ready', status: 'True' }] };
        await client
          .patch(PODS, next.metadata, { type: 'merge', body: { status } }, { subresource: 'status' })
          .catch(() => {});
      }
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };
  void step();
}

const images = (client: FakeKubeClient): string[] =>
  client.objects(PODS).map(({ spec }) => spec.containers[0]?.image ?? '');

async function isRolledOut(client: FakeKubeClient, replicas = 3): Promise<boolean> {
  const { status, metadata } = await client.get(DEPLOYMENTS, KEY);
  return (
    status?.observedGeneration === metadata.generation &&
    status?.updatedReplicas === replicas &&
    status.replicas === replicas &&
    status.availableReplicas === replicas
  );
}

test('Deployment: pods come up, each with the template hash, and the status says that the rollout is complete', async (t) => {
  const client = createCluster();
  await startControllers(t, client);
  runFakeKubelet(t, client);
  await client.create(DEPLOYMENTS, deployment('v1'));
  await eventually(() => isRolledOut(client));
  const [replicaSet] = client.objects(REPLICA_SETS);
  const hash = replicaSet?.metadata.labels?.['pod-template-hash'];
  assert.equal(replicaSet?.metadata.name, `hello-${hash}`);
  assert.equal(replicaSet?.metadata.annotations?.['deployment.kubernetes.io/revision'], '1');
  for (const pod of client.objects(PODS)) {
    assert.equal(pod.metadata.labels?.['pod-template-hash'], hash);
    assert.match(pod.metadata.name, new RegExp(`^hello-${hash}-`));
  }
  const { status } = await client.get(DEPLOYMENTS, KEY);
  const conditions = Object.fromEntries((status?.conditions ?? []).map(({ type, reason }) => [type, reason]));
  assert.deepEqual(conditions, { Available: 'MinimumReplicasAvailable', Progressing: 'NewReplicaSetAvailable' });
});

test('Deployment: a rolling update keeps every pod it must, undo makes the old template the newest revision', async (t) => {
  const client = createCluster();
  await startControllers(t, client);
  let fewestReady = Number.POSITIVE_INFINITY;
  let mostPods = 0;
  let isMeasuring = false;
  runFakeKubelet(t, client, () => {
    if (!isMeasuring) return;
    fewestReady = Math.min(fewestReady, client.objects(PODS).filter(isPodReady).length);
    mostPods = Math.max(mostPods, client.objects(PODS).length);
  });
  await client.create(DEPLOYMENTS, deployment('v1'));
  await eventually(() => isRolledOut(client));
  isMeasuring = true;
  const { template } = deployment('v2').spec;
  await client.patch(DEPLOYMENTS, KEY, { type: 'merge', body: { spec: { template } } });
  await eventually(async () => (await isRolledOut(client)) && images(client).every((image) => image === 'v2'));
  assert.equal(fewestReady, 3, 'never fewer than wanted');
  assert.equal(mostPods, 4, 'never more than one above');
  assert.equal(client.objects(REPLICA_SETS).length, 2);

  await client.patch(DEPLOYMENTS, KEY, { type: 'merge', body: { spec: { template: deployment('v1').spec.template } } });
  await eventually(async () => (await isRolledOut(client)) && images(client).every((image) => image === 'v1'));
  assert.equal(client.objects(REPLICA_SETS).length, 2, 'the old ReplicaSet is used again');
  const { metadata } = await client.get(DEPLOYMENTS, KEY);
  assert.equal(metadata.annotations?.['deployment.kubernetes.io/revision'], '3');
});

test('Deployment: scaling changes the pods and not the revision; a lost pod is replaced', async (t) => {
  const client = createCluster();
  await startControllers(t, client);
  runFakeKubelet(t, client);
  await client.create(DEPLOYMENTS, deployment('v1'));
  await eventually(() => isRolledOut(client));
  await client.patch(DEPLOYMENTS, KEY, { type: 'merge', body: { spec: { replicas: 5 } } });
  await eventually(() => isRolledOut(client, 5));
  const [victim] = client.objects(PODS);
  await client.delete(PODS, victim?.metadata as Pod['metadata']);
  await eventually(() => client.objects(PODS).length === 5 && isRolledOut(client, 5));
  await client.patch(DEPLOYMENTS, KEY, { type: 'merge', body: { spec: { replicas: 0 } } });
  await eventually(() => client.objects(PODS).length === 0);
  assert.equal(client.objects(REPLICA_SETS).length, 1);
});

test('Deployment: a paused one starts no rollout, but can be scaled', async (t) => {
  const client = createCluster();
  await startControllers(t, client);
  runFakeKubelet(t, client);
  await client.create(DEPLOYMENTS, deployment('v1'));
  await eventually(() => isRolledOut(client));
  const { template } = deployment('v2').spec;
  const patch = { spec: { paused: true, replicas: 4, template } };
  await client.patch(DEPLOYMENTS, KEY, { type: 'merge', body: patch });
  await eventually(() => client.objects(PODS).length === 4);
  assert.deepEqual(new Set(images(client)), new Set(['v1']));
  await client.patch(DEPLOYMENTS, KEY, { type: 'merge', body: { spec: { paused: false } } });
  await eventually(() => images(client).every((image) => image === 'v2'));
});

test('Deployment: one that makes no progress says so when its deadline has passed', async (t) => {
  const client = createCluster();
  await startControllers(t, client);
  await client.create(DEPLOYMENTS, deployment('v1', { progressDeadlineSeconds: 1 }));
  await eventually(async () => {
    const { status } = await client.get(DEPLOYMENTS, KEY);
    return status?.conditions?.some(({ reason }) => reason === 'ProgressDeadlineExceeded') === true;
  });
});

test('ReplicaSet: a refused pod becomes one counted event with the refusal, and is tried again until it is accepted', async (t) => {
  const client = createCluster();
  await startControllers(t, client);
  runFakeKubelet(t, client);
  const refusal = 'admission webhook "inject.example" denied the request: control plane is away';
  let refusals = 0;
  const allow = client.failWhen(({ verb, ref }) => {
    if (verb !== 'create' || ref !== PODS) return undefined;
    refusals += 1;
    return new KubeError(refusal, { statusCode: 500, reason: 'InternalError' });
  });
  await client.create(DEPLOYMENTS, deployment('v1'));
  await eventually(() => refusals >= 3);
  const events = client.objects(EVENTS).filter(({ reason }) => reason === 'FailedCreate');
  assert.equal(events.length, 1);
  assert.equal(events[0]?.message, `Error creating: ${refusal}`);
  assert.equal(events[0]?.involvedObject.kind, 'ReplicaSet');
  assert.ok((events[0]?.count ?? 0) >= 2);
  await eventually(async () => {
    const { status } = await client.get(DEPLOYMENTS, KEY);
    return status?.conditions?.some(({ type, message }) => type === 'ReplicaFailure' && message?.includes('is away'));
  });
  allow();
  await eventually(() => isRolledOut(client));
  const { status } = await client.get(DEPLOYMENTS, KEY);
  assert.ok(!status?.conditions?.some(({ type }) => type === 'ReplicaFailure'));
});

test('ReplicaSet: takes in matching orphans instead of creating pods, and lets go of pods that were relabelled', async (t) => {
  const client = createCluster();
  const { selector, template } = deployment('v1').spec;
  client.seed(PODS, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: NAMESPACE, name: 'orphan', labels: { app: 'hello', version: 'v1' } },
    spec: template.spec,
  });
  await startControllers(t, client);
  await client.create(REPLICA_SETS, {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: KEY,
    spec: { replicas: 2, selector, template },
  });
  await eventually(() => client.objects(PODS).length === 2);
  const orphan = { namespace: NAMESPACE, name: 'orphan' };
  assert.equal((await client.get(PODS, orphan)).metadata.ownerReferences?.[0]?.name, 'hello');
  await client.patch(PODS, orphan, { type: 'merge', body: { metadata: { labels: { app: 'debug' } } } });
  await eventually(() => client.objects(PODS).length === 3);
  assert.deepEqual((await client.get(PODS, orphan)).metadata.ownerReferences, []);
});

test('EndpointSlices follow pods and services, and leave those of a service without selector alone', async (t) => {
  const client = createCluster();
  await startControllers(t, client);
  runFakeKubelet(t, client);
  const ports = [{ name: 'http', port: 80, targetPort: 5000, protocol: 'TCP' }];
  await client.create(SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: KEY,
    spec: { clusterIP: '10.111.0.9', selector: { app: 'hello' }, ports },
  });
  await client.create(SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { ...KEY, name: 'own' },
    spec: { clusterIP: '10.111.0.10', ports },
  });
  await client.create(ENDPOINT_SLICES, {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { ...KEY, name: 'own-1', labels: { 'kubernetes.io/service-name': 'own' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: ['192.0.2.1'] }],
  });
  const addresses = (): string[] =>
    client
      .objects(ENDPOINT_SLICES)
      .filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === 'hello')
      .flatMap(({ endpoints }) => (endpoints ?? []).flatMap((endpoint) => endpoint.addresses));
  await client.create(DEPLOYMENTS, deployment('v1'));
  await eventually(() => addresses().length === 3);
  await client.patch(DEPLOYMENTS, KEY, { type: 'merge', body: { spec: { replicas: 1 } } });
  await eventually(() => addresses().length === 1);
  await client.delete(SERVICES, KEY);
  await eventually(() => client.objects(ENDPOINT_SLICES).length === 1);
  assert.equal(client.objects(ENDPOINT_SLICES)[0]?.metadata.name, 'own-1');
});

test('EndpointSlices are left as they are until every pod is known', async (t) => {
  const client = createCluster();
  const metadata = { ...KEY, uid: 'svc', labels: { app: 'hello' } };
  const ports = [{ name: 'http', port: 80, targetPort: 5000, protocol: 'TCP' }];
  const spec = { clusterIP: '10.111.0.9', selector: { app: 'hello' }, ports };
  client.seed(SERVICES, { apiVersion: 'v1', kind: 'Service', metadata, spec });
  client.seed(PODS, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: NAMESPACE, name: 'a', labels: { app: 'hello' } },
    spec: { containers: [] },
    status: { phase: 'Running', podIP: '10.11.1.1', conditions: [{ type: 'Ready', status: 'True' }] },
  });
  let refusals = 3;
  client.failWhen(({ verb, ref }) => {
    if (verb !== 'list' || ref !== PODS || refusals === 0) return undefined;
    refusals -= 1;
    return new KubeError('away', { statusCode: 0 });
  });
  await startControllers(t, client);
  await eventually(() => client.objects(ENDPOINT_SLICES).length === 1);
  const writes = client.calls.filter(({ verb, ref }) => ref === ENDPOINT_SLICES && ['create', 'update'].includes(verb));
  assert.deepEqual(
    writes.map(({ object }) => (object as EndpointSlice).endpoints?.length),
    [1],
  );
});

test('Namespaces get their ServiceAccount and root certificate, also after these were deleted', async (t) => {
  const client = createCluster();
  await startControllers(t, client);
  await client.create(NAMESPACES, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } });
  const rootCa = { namespace: NAMESPACE, name: 'kube-root-ca.crt' };
  const account = { namespace: NAMESPACE, name: 'default' };
  await eventually(async () => (await client.find(CONFIG_MAPS, rootCa))?.data?.['ca.crt'] === 'root certificate');
  await eventually(async () => (await client.find(SERVICE_ACCOUNTS, account)) !== undefined);
  await client.delete(CONFIG_MAPS, rootCa);
  await client.delete(SERVICE_ACCOUNTS, account);
  await eventually(async () => (await client.find(CONFIG_MAPS, rootCa)) !== undefined);
  await eventually(async () => (await client.find(SERVICE_ACCOUNTS, account)) !== undefined);
});

test('A namespace that is being deleted is emptied, pods in their own time, before it is let go', async (t) => {
  const client = createCluster();
  client.seed(NAMESPACES, {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: NAMESPACE, finalizers: ['held-by-test'] },
    spec: { finalizers: ['kubernetes'] },
  });
  const metadata = { namespace: NAMESPACE, name: 'slow', finalizers: ['kubelet'] };
  client.seed(PODS, { apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers: [] } });
  await startControllers(t, client);
  await client.create(DEPLOYMENTS, deployment('v1'));
  await eventually(() => client.objects(PODS).length === 4);
  await client.delete(NAMESPACES, { name: NAMESPACE });
  await eventually(() => client.objects(DEPLOYMENTS).length === 0 && client.objects(PODS).length === 1);
  assert.deepEqual((await client.get(NAMESPACES, { name: NAMESPACE })).spec?.finalizers, ['kubernetes']);
  await client.patch(PODS, metadata, { type: 'merge', body: { metadata: { finalizers: [] } } });
  await eventually(async () => (await client.get(NAMESPACES, { name: NAMESPACE })).spec?.finalizers?.length === 0);
});

test('Deleting a Deployment in the background takes its ReplicaSets and pods along', async (t) => {
  const client = createCluster();
  await startControllers(t, client);
  await client.create(DEPLOYMENTS, deployment('v1'));
  await eventually(() => client.objects(PODS).length === 3);
  await client.delete(DEPLOYMENTS, KEY);
  await eventually(() => client.objects(REPLICA_SETS).length === 0 && client.objects(PODS).length === 0);
});

test('Deleting a Deployment in the foreground ends with the Deployment, after its pods', async (t) => {
  const client = createCluster();
  await startControllers(t, client);
  await client.create(DEPLOYMENTS, deployment('v1'));
  await eventually(() => client.objects(PODS).length === 3);
  await client.patch(DEPLOYMENTS, KEY, { type: 'merge', body: { metadata: { finalizers: ['foregroundDeletion'] } } });
  // The server adds the finalizer to each dependent that is deleted with this policy.
  const order: string[] = [];
  const watch = async (): Promise<void> => {
    for await (const event of client.watch(DEPLOYMENTS)) if (event.type === 'DELETED') order.push('deployment');
  };
  void watch();
  await client.delete(DEPLOYMENTS, KEY);
  await eventually(() => order.length === 1);
  assert.equal(client.objects(REPLICA_SETS).length, 0);
});

test('Deleting a Deployment with orphan leaves ReplicaSet and pods, without the owner', async (t) => {
  const client = createCluster();
  await startControllers(t, client);
  await client.create(DEPLOYMENTS, deployment('v1'));
  await eventually(() => client.objects(PODS).length === 3);
  await client.patch(DEPLOYMENTS, KEY, { type: 'merge', body: { metadata: { finalizers: ['orphan'] } } });
  await client.delete(DEPLOYMENTS, KEY);
  await eventually(() => client.objects(DEPLOYMENTS).length === 0);
  const [replicaSet] = client.objects(REPLICA_SETS);
  assert.deepEqual(replicaSet?.metadata.ownerReferences, []);
  assert.equal(client.objects(PODS).length, 3);
});

test('Service rules are restored once per burst of changes, from the whole picture, and again after a failure', async (t) => {
  const client = createCluster();
  const restored: string[] = [];
  let failures = 1;
  await startControllers(t, client, {
    restoreRules: async (rules) => {
      failures -= 1;
      if (failures >= 0) throw new Error('table is locked');
      restored.push(rules);
    },
  });
  const ports = [{ name: 'https', port: 443, protocol: 'TCP' }];
  const metadata = { namespace: 'default', name: 'kubernetes' };
  await client.create(SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata,
    spec: { clusterIP: '10.111.0.1', ports },
  });
  await client.create(ENDPOINT_SLICES, {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'kubernetes' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: ['10.11.0.1'] }],
    ports: [{ name: 'https', port: 6443, protocol: 'TCP' }],
  });
  await eventually(() => restored.some((rules) => rules.includes('--to-destination 10.11.0.1:6443')));
  assert.match(restored.at(-1) ?? '', /-d 10\.111\.0\.1\/32 -p tcp --dport 443/);
  const before = restored.length;
  for (let index = 0; index < 20; index += 1) {
    await client.create(SERVICES, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { namespace: NAMESPACE, name: `s${index}` },
      spec: { clusterIP: `10.111.1.${index}`, ports: [{ port: 80 }] },
    });
  }
  await eventually(() => restored.at(-1)?.includes('10.111.1.19/32') === true);
  assert.ok(restored.length - before <= 3, `${restored.length - before} restores`);
});
