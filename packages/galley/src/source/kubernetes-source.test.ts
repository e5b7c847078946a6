import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '@meltemi/base';
import { CONFIG_MAPS, type KubeObject, resourceRef } from '@meltemi/kube';
import { FakeKubeClient } from '@meltemi/kube/testing';
import { createConfigStore } from '../config-store.ts';
import { createKubernetesSource } from './kubernetes-source.ts';
import { createMeshConfigSource } from './mesh-config-source.ts';

const VIRTUAL_SERVICES = resourceRef<KubeObject & { readonly spec: unknown }>({
  group: 'networking.istio.io',
  version: 'v1',
  plural: 'virtualservices',
  kind: 'VirtualService',
});

const OBJECT = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name: 'v', namespace: 'app1' },
  spec: { hosts: ['a'], http: [{ route: [{ destination: { host: 'a' } }] }] },
};

/** Lets what was written travel through the watch: the fake answers within a few turns of the event loop. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Answers for every group that it serves virtualservices. */
function servingVirtualServices(): FakeKubeClient {
  const client = new FakeKubeClient();
  const body = JSON.stringify({ resources: [{ name: 'virtualservices' }] });
  client.onRequest = () => ({ status: 200, headers: {}, body });
  return client;
}

test('KubernetesSource fills the store, follows changes and removals', async () => {
  const client = servingVirtualServices();
  client.seed(VIRTUAL_SERVICES, OBJECT);
  const store = createConfigStore({ log: silentLog });
  const stop = new AbortController();
  await createKubernetesSource({ client, store, log: silentLog }).start(stop.signal);
  await settle();
  assert.deepEqual(
    store.list().map((resource) => resource.name),
    ['v'],
  );
  await client.create(VIRTUAL_SERVICES, { ...OBJECT, metadata: { name: 'w', namespace: 'app1' } });
  await client.delete(VIRTUAL_SERVICES, { namespace: 'app1', name: 'v' });
  await settle();
  assert.deepEqual(
    store.list().map((resource) => resource.name),
    ['w'],
  );
  stop.abort();
});

test('KubernetesSource leaves out what is labelled for another revision, and follows changes of the label', async () => {
  const client = servingVirtualServices();
  const labelled = (name: string, revision?: string) => ({
    ...OBJECT,
    metadata: { name, namespace: 'app1', ...(revision === undefined ? {} : { labels: { 'istio.io/rev': revision } }) },
  });
  client.seed(VIRTUAL_SERVICES, labelled('all'), labelled('own', 'blue'), labelled('foreign', 'green'));
  const invalid = { ...labelled('invalid', 'green'), spec: { hosts: [] } };
  client.seed(VIRTUAL_SERVICES, invalid);
  const store = createConfigStore({ log: silentLog });
  const stop = new AbortController();
  await createKubernetesSource({ client, store, log: silentLog, revision: 'blue' }).start(stop.signal);
  await settle();
  const names = () => store.list().map(({ name }) => name);
  assert.deepEqual(names(), ['all', 'own']);
  assert.deepEqual(store.rejections(), []);
  await client.update(VIRTUAL_SERVICES, labelled('own', 'green'));
  await client.update(VIRTUAL_SERVICES, labelled('foreign', 'blue'));
  await settle();
  assert.deepEqual(names(), ['all', 'foreign']);
  await client.update(VIRTUAL_SERVICES, labelled('own'));
  await settle();
  assert.deepEqual(names(), ['all', 'foreign', 'own']);
  stop.abort();
});

test('MeshConfigSource reads the networks beside MeshConfig, and says that they have no effect', async () => {
  const client = new FakeKubeClient();
  const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'istio', namespace: 'istio-system' } };
  const good = 'networks: {n1: {endpoints: [{fromRegistry: c1}]}}';
  client.seed(CONFIG_MAPS, { ...map, data: { mesh: 'trustDomain: a.example', meshNetworks: good } });
  const warnings: unknown[] = [];
  const source = createMeshConfigSource({
    client,
    namespace: 'istio-system',
    log: { ...silentLog, warn: (_message, fields) => void warnings.push(fields?.['warning']) },
    unimplemented: (kind) => (kind === 'MeshNetworks' ? ['networks[n1]'] : []),
  });
  const stop = new AbortController();
  await source.start(stop.signal);
  const expected = { networks: { n1: { endpoints: [{ fromRegistry: 'c1' }] } } };
  assert.deepEqual(source.networks(), expected);
  assert.deepEqual(warnings, ['MELTEMI-UNIMPLEMENTED MeshNetworks.networks[n1]: accepted, but has no effect yet']);
  // What is wrong with one of the two keeps the other from nothing.
  const wrong = { mesh: 'trustDomain: b.example', meshNetworks: 'networks: {n1: {endpoints: [{}]}}' };
  await client.update(CONFIG_MAPS, { ...map, data: wrong });
  await settle();
  assert.deepEqual([source.networks(), source.current().trustDomain], [expected, 'b.example']);
  assert.match(
    source.problems().join(),
    /^meshNetworks: networks\[n1\]\.endpoints\[0\]: needs fromCidr or fromRegistry$/,
  );
  await client.update(CONFIG_MAPS, { ...map, data: { mesh: 'trustDomain: b.example' } });
  await settle();
  assert.deepEqual([source.networks(), source.problems()], [{ networks: {} }, []]);
  stop.abort();
});

test('MeshConfigSource reloads and keeps the last good configuration', async () => {
  const client = new FakeKubeClient();
  const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'istio', namespace: 'istio-system' } };
  client.seed(CONFIG_MAPS, { ...map, data: { mesh: 'trustDomain: a.example' } });
  const source = createMeshConfigSource({ client, namespace: 'istio-system', log: silentLog });
  const seen: string[] = [];
  source.onChange((config) => seen.push(config.trustDomain));
  const stop = new AbortController();
  await source.start(stop.signal);
  assert.equal(source.current().trustDomain, 'a.example');
  const write = async (mesh: string): Promise<void> => {
    await client.update(CONFIG_MAPS, { ...map, data: { mesh } });
    await settle();
  };
  await write('connectTimeout: 0s');
  assert.equal(source.current().trustDomain, 'a.example');
  assert.match(source.problems()[0] ?? '', /connectTimeout: is 0s/);
  await write('trustDomain: [');
  assert.equal(source.current().trustDomain, 'a.example');
  await write('trustDomain: b.example');
  assert.deepEqual(seen, ['a.example', 'b.example']);
  assert.deepEqual(source.problems(), []);
  stop.abort();
});
