import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ENDPOINT_SLICES,
  type EndpointSlice,
  KubeError,
  NAMESPACES,
  NODES,
  PODS,
  type Pod,
  SERVICES,
} from '@meltemi/kube';
import { FakeKubeClient } from '@meltemi/kube/testing';
import { eventually as eventuallyWithin } from '@meltemi/testing';
import type { ClusterRegistry, RegistryChange } from '../cluster-registry.ts';
import { testRegistry } from '../testing/test-registry.ts';
import { LEGACY_ENDPOINTS } from './convert-legacy-endpoints.ts';

const DEADLINE_MS = 5000;

function eventually(check: () => void | Promise<void>): Promise<void> {
  return eventuallyWithin(check, DEADLINE_MS, 5);
}

const KEY = 'app1/helloworld.app1.svc.cluster.local';

function pod(name: string, address: string): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'app1',
      labels: { app: 'helloworld', version: 'v1', 'security.istio.io/tlsMode': 'istio', 'pod-template-hash': 'abc' },
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'helloworld-v1-abc', uid: 'rs', controller: true },
      ],
    },
    spec: { containers: [], nodeName: 'node1', serviceAccountName: 'hello' },
    status: { phase: 'Running', podIP: address },
  };
}

function slice(addresses: readonly (readonly [pod: string, address: string, ready?: boolean])[]): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    addressType: 'IPv4',
    metadata: { name: 'helloworld-1', namespace: 'app1', labels: { 'kubernetes.io/service-name': 'helloworld' } },
    ports: [{ name: 'http', port: 5000 }],
    endpoints: addresses.map(([name, address, ready]) => ({
      addresses: [address],
      conditions: { ready: ready ?? true },
      targetRef: { kind: 'Pod', name, namespace: 'app1' },
    })),
  };
}

interface Setup {
  readonly client: FakeKubeClient;
  readonly registry: ClusterRegistry;
  readonly changes: RegistryChange[];
  readonly stop: AbortController;
}

async function setUp(): Promise<Setup> {
  const client = new FakeKubeClient();
  client.seed(NAMESPACES, {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'istio-system', labels: { 'topology.istio.io/network': 'net1' } },
  });
  client.seed(NODES, {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'node1', labels: { 'topology.kubernetes.io/region': 'r1', 'topology.kubernetes.io/zone': 'z1' } },
  });
  client.seed(SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'helloworld', namespace: 'app1' },
    spec: { clusterIP: '10.111.0.9', clusterIPs: ['10.111.0.9'], ports: [{ name: 'http', port: 5000 }] },
  });
  client.seed(PODS, pod('hello-1', '10.11.1.1'));
  client.seed(ENDPOINT_SLICES, slice([['hello-1', '10.11.1.1']]));
  const registry = testRegistry({ clusterId: 'cluster1', client });
  const changes: RegistryChange[] = [];
  const stop = new AbortController();
  await registry.start(stop.signal);
  registry.onChange((change) => changes.push(change));
  return { client, registry, changes, stop };
}

test('KubernetesRegistry converts a service and its endpoints with identity, locality and network', async () => {
  const { registry, stop } = await setUp();
  const service = registry.services().get(KEY);
  assert.deepEqual(service?.ports, [{ name: 'http', number: 5000, protocol: 'http' }]);
  assert.deepEqual(service?.clusterVIPs.get('cluster1'), ['10.111.0.9']);
  assert.equal(service?.resolution, 'ClientSideLB');
  const [endpoint] = registry.endpoints().get(KEY) ?? [];
  assert.equal(endpoint?.serviceAccount, 'spiffe://cluster.local/ns/app1/sa/hello');
  assert.deepEqual(endpoint?.locality, { region: 'r1', zone: 'z1', subzone: '' });
  assert.equal(endpoint?.network, 'net1');
  assert.equal(endpoint?.tlsMode, 'istio');
  assert.equal(endpoint?.workloadName, 'helloworld-v1');
  assert.equal(endpoint?.canonicalRevision, 'v1');
  assert.equal(endpoint?.ports.get('http'), 5000);
  assert.equal(endpoint?.labels['topology.istio.io/cluster'], 'cluster1');
  assert.deepEqual(
    registry.workloads().map((workload) => workload.addresses),
    [['10.11.1.1']],
  );
  stop.abort();
});

test('KubernetesRegistry holds an endpoint back until its pod is known', async () => {
  const { client, registry, changes, stop } = await setUp();
  await client.update(
    ENDPOINT_SLICES,
    slice([
      ['hello-1', '10.11.1.1'],
      ['hello-2', '10.11.1.2'],
    ]),
  );
  await eventually(() => assert.ok(changes.length > 0));
  assert.ok(changes.every((change) => change.scope === 'endpoints' && change.serviceKey === KEY));
  assert.equal(registry.endpoints().get(KEY)?.length, 1);
  await client.create(PODS, pod('hello-2', '10.11.1.2'));
  await eventually(() => assert.equal(registry.endpoints().get(KEY)?.length, 2));
  stop.abort();
});

test('KubernetesRegistry keeps the identity of what did not change', async () => {
  const { client, registry, changes, stop } = await setUp();
  const before = registry.endpoints().get(KEY);
  await client.create(SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'other', namespace: 'app1' },
    spec: { clusterIP: 'None', ports: [{ port: 80 }] },
  });
  await eventually(() => assert.ok(changes.some((change) => change.scope === 'full')));
  assert.equal(registry.endpoints().get(KEY), before);
  const headless = registry.services().get('app1/other.app1.svc.cluster.local');
  assert.equal(headless?.resolution, 'Passthrough');
  assert.equal(headless?.defaultAddress, '0.0.0.0');
  stop.abort();
});

test('KubernetesRegistry keeps endpoints that terminate, so that their sidecars serve to the end', async () => {
  const { client, registry, stop } = await setUp();
  const leaving = slice([['hello-1', '10.11.1.1', false]]);
  const conditions = { ready: false, serving: true, terminating: true };
  const endpoints = leaving.endpoints?.map((endpoint) => ({ ...endpoint, conditions })) ?? [];
  await client.update(ENDPOINT_SLICES, { ...leaving, endpoints });
  await eventually(() => assert.equal(registry.endpoints().get(KEY)?.[0]?.health, 'terminating'));
  stop.abort();
});

test('KubernetesRegistry marks endpoints that are not ready and drops those of a deleted slice', async () => {
  const { client, registry, stop } = await setUp();
  await client.update(ENDPOINT_SLICES, slice([['hello-1', '10.11.1.1', false]]));
  await eventually(() => assert.equal(registry.endpoints().get(KEY)?.[0]?.health, 'unhealthy'));
  await client.delete(ENDPOINT_SLICES, { namespace: 'app1', name: 'helloworld-1' });
  await eventually(() => assert.equal(registry.endpoints().get(KEY), undefined));
  stop.abort();
});

/** Refuses some kinds, as a server does whose roles do not name them. @returns Grants them. */
function forbid(client: FakeKubeClient, ...plurals: readonly string[]): () => void {
  return client.failWhen(({ ref, verb }) =>
    plurals.includes(ref.plural) ? new KubeError(`${verb} ${ref.plural} is forbidden`, { statusCode: 403 }) : undefined,
  );
}

test('KubernetesRegistry does with the roles of old, which allow Endpoints and no EndpointSlices, namespaces or nodes', async () => {
  const { client } = await setUp();
  client.seed(LEGACY_ENDPOINTS, {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: { name: 'helloworld', namespace: 'app1' },
    subsets: [
      {
        addresses: [{ ip: '10.11.1.1', targetRef: { kind: 'Pod', name: 'hello-1', namespace: 'app1' } }],
        notReadyAddresses: [{ ip: '10.11.1.7' }],
        ports: [{ name: 'http', port: 5000 }],
      },
    ],
  });
  const grantSlices = forbid(client, 'endpointslices');
  forbid(client, 'namespaces', 'nodes');
  const registry = testRegistry({ clusterId: 'cluster1', client });
  const stop = new AbortController();
  await registry.start(stop.signal);
  const endpoints = (): unknown =>
    registry
      .endpoints()
      .get(KEY)
      ?.map(({ address, health, serviceAccount, network }) => [address, health, serviceAccount, network]);
  const first = ['10.11.1.1', 'healthy', 'spiffe://cluster.local/ns/app1/sa/hello', ''];
  assert.deepEqual(endpoints(), [first, ['10.11.1.7', 'unhealthy', '', '']]);
  assert.deepEqual(
    registry.limits.map((limit) => limit.split(':')[0]),
    ['may not list endpointslices', 'may not list namespaces', 'may not list nodes'],
  );
  assert.ok(registry.hasSynced);
  assert.ok(registry.informers.every(({ lastError }) => lastError === undefined));
  // A pod that changes changes the endpoints that stand for it.
  await client.update(PODS, { ...pod('hello-1', '10.11.1.1'), spec: { containers: [], serviceAccountName: 'other' } });
  await eventually(() => assert.match(JSON.stringify(endpoints()), /sa\/other/));
  // Once granted, slices take over.
  grantSlices();
  await eventually(() => assert.equal(registry.endpoints().get(KEY)?.length, 1));
  assert.equal(registry.limits.length, 2);
  stop.abort();
});

test('KubernetesRegistry waits for services and pods, whatever it may not read', async () => {
  const { client } = await setUp();
  const grant = forbid(client, 'pods');
  const registry = testRegistry({ clusterId: 'cluster1', client });
  const stop = new AbortController();
  let isRead = false;
  const read = registry.start(stop.signal).then(() => (isRead = true));
  await eventually(() => assert.ok(registry.informers.some(({ lastError }) => lastError !== undefined)));
  assert.equal(isRead, false);
  grant();
  await read;
  stop.abort();
});
