import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultMeshConfig } from '@meltemi/api';
import { buildMeshSnapshot } from './build-mesh-snapshot.ts';
import type { ConfigResource } from './config-resource.ts';
import type { Endpoint } from './endpoint.ts';
import { UNKNOWN_LOCALITY } from './locality.ts';
import { addressKey, configsOf, type MeshInputs } from './mesh-snapshot.ts';
import { type Service, serviceKey } from './service.ts';
import { diffMeshSnapshots, isEmptyChange } from './snapshot-change.ts';

function service(name: string, overrides: Partial<Service> = {}): Service {
  return {
    hostname: `${name}.default.svc.cluster.local`,
    namespace: 'default',
    name,
    clusterVIPs: new Map([['c1', ['10.0.0.1']]]),
    defaultAddress: '10.0.0.1',
    ports: [{ name: 'http', number: 80, protocol: 'http' }],
    resolution: 'ClientSideLB',
    meshExternal: false,
    exportTo: [],
    serviceAccounts: [],
    attributes: { registry: 'Kubernetes', labels: {}, creationTimestampMs: 1, sourceKey: `Service/default/${name}` },
    ...overrides,
  };
}

function endpoint(address: string, overrides: Partial<Endpoint> = {}): Endpoint {
  return {
    address,
    ports: new Map([['http', 8080]]),
    labels: {},
    serviceAccount: '',
    network: '',
    locality: UNKNOWN_LOCALITY,
    clusterId: 'c1',
    tlsMode: 'istio',
    health: 'healthy',
    weight: 1,
    workloadName: 'w',
    namespace: 'default',
    canonicalName: 'w',
    canonicalRevision: 'latest',
    nodeName: 'n',
    ...overrides,
  };
}

function config(name: string, overrides: Partial<ConfigResource> = {}): ConfigResource {
  return {
    kind: 'VirtualService',
    apiVersion: 'networking.istio.io/v1',
    namespace: 'default',
    name,
    labels: {},
    annotations: {},
    creationTimestampMs: 1,
    generation: 1,
    resourceVersion: '1',
    spec: { hosts: [name] },
    source: {},
    ...overrides,
  };
}

/** Every call makes new objects of equal content, as a careless source would. */
function inputs(overrides: Partial<MeshInputs> = {}): MeshInputs {
  const [a, b] = [service('a'), service('b')];
  return {
    meshConfig: defaultMeshConfig(),
    services: [a, b],
    endpoints: new Map([
      [serviceKey(a), new Map([['c1', [endpoint('10.1.0.1'), endpoint('10.1.0.2')]]])],
      [serviceKey(b), new Map([['c1', [endpoint('10.1.0.3')]]])],
    ]),
    workloads: [],
    configs: [config('x'), config('y')],
    collectedAtMs: 0,
    ...overrides,
  };
}

test('A snapshot of equal inputs shares every part with the one before, under a new version', () => {
  const first = buildMeshSnapshot(inputs());
  const second = buildMeshSnapshot(inputs({ collectedAtMs: 1000 }), first);
  assert.equal(first.version, '1970-01-01T00:00:00.000Z/1');
  assert.equal(second.version, '1970-01-01T00:00:01.000Z/2');
  for (const part of ['meshConfig', 'services', 'servicesByHostname', 'endpoints', 'configsByKind'] as const)
    assert.equal(second[part], first[part], part);
  assert.ok(isEmptyChange(diffMeshSnapshots(first, second)));
});

test('A change names what changed, and leaves the rest the same objects', () => {
  const first = buildMeshSnapshot(inputs());
  const changed = inputs();
  const key = serviceKey(service('a'));
  const endpoints = new Map(changed.endpoints);
  endpoints.set(key, new Map([['c1', [endpoint('10.1.0.1'), endpoint('10.1.0.2', { health: 'unhealthy' })]]]));
  const second = buildMeshSnapshot({ ...changed, endpoints, configs: [config('x'), config('z')] }, first);
  const change = diffMeshSnapshots(first, second);
  assert.deepEqual(change.endpoints, new Set([key]));
  assert.deepEqual(change.addresses, new Set([addressKey('c1', '10.1.0.2')]));
  assert.deepEqual(change.configs, new Set(['VirtualService/default/y', 'VirtualService/default/z']));
  assert.equal(change.services.size, 0);
  assert.equal(change.global, false);
  assert.equal(second.endpoints.get(key)?.get('c1')?.[0], first.endpoints.get(key)?.get('c1')?.[0]);
  assert.equal(configsOf(second, 'VirtualService')[0], configsOf(first, 'VirtualService')[0]);
});

test('Resources are ordered by age, then name, then namespace', () => {
  const configs = [
    config('b', { creationTimestampMs: 2 }),
    config('c', { creationTimestampMs: 1 }),
    config('a', { creationTimestampMs: 2, namespace: 'z' }),
    config('a', { creationTimestampMs: 2, namespace: 'y' }),
  ];
  const order = configsOf(buildMeshSnapshot(inputs({ configs })), 'VirtualService');
  assert.deepEqual(
    order.map(({ name, namespace }) => `${namespace}/${name}`),
    ['default/c', 'y/a', 'z/a', 'default/b'],
  );
});

test('A Kubernetes service goes before another registry with the same host name', () => {
  const attributes = service('a').attributes;
  const entry = service('a', {
    namespace: 'other',
    attributes: { ...attributes, registry: 'External', creationTimestampMs: 0 },
  });
  const snapshot = buildMeshSnapshot(inputs({ services: [entry, service('a')] }));
  assert.deepEqual(
    snapshot.servicesByHostname.get(entry.hostname)?.map(({ namespace }) => namespace),
    ['default', 'other'],
  );
});

test('A workload is found with the services that it is behind', () => {
  const snapshot = buildMeshSnapshot(inputs());
  const instances = snapshot.instancesByAddress.get(addressKey('c1', '10.1.0.3'));
  assert.deepEqual(
    instances?.map((instance) => instance.service.name),
    ['b'],
  );
  assert.equal(snapshot.instancesByAddress.get(addressKey('c2', '10.1.0.3')), undefined);
});
