import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  CONFIG_MAPS,
  createInformer,
  createKubeClient,
  isAlreadyExists,
  isConflict,
  isNotFound,
  type KubeClient,
  KubeError,
  loadKubeconfig,
  NAMESPACES,
  PODS,
  parseKubeconfig,
  resourceRef,
  SERVICE_ACCOUNTS,
} from '@meltemi/kube';
import { eventually } from '@meltemi/kube/testing';
import { createTestCluster, type TestCluster } from '@meltemi/local/api-server/testing';

let cluster: TestCluster;
let client: KubeClient;

before(async () => {
  cluster = await createTestCluster();
  await cluster.createNamespace('app1');
  client = createKubeClient({ access: await loadKubeconfig({ path: cluster.adminKubeconfigPath }) });
});
after(async () => {
  await client[Symbol.asyncDispose]();
  await cluster[Symbol.asyncDispose]();
});

const key = (name: string) => ({ namespace: 'app1', name });
const configMap = (name: string, data: Record<string, string>, labels: Record<string, string> = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { ...key(name), labels },
  data,
});

test('KubeClient creates, reads, replaces, patches, applies and deletes', async () => {
  const created = await client.create(CONFIG_MAPS, configMap('crud', { a: '1' }));
  assert.ok(created.metadata.uid !== undefined);
  await assert.rejects(client.create(CONFIG_MAPS, configMap('crud', {})), isAlreadyExists);
  const updated = await client.update(CONFIG_MAPS, { ...created, data: { a: '2' } });
  await assert.rejects(client.update(CONFIG_MAPS, { ...created, data: { a: '3' } }), isConflict);
  assert.deepEqual(updated.data, { a: '2' });
  const merged = await client.patch(CONFIG_MAPS, key('crud'), { type: 'merge', body: { data: { a: null, b: '1' } } });
  assert.deepEqual(merged.data, { b: '1' });
  const operations = [{ op: 'replace', path: '/data/b', value: '2' }];
  const replaced = await client.patch(CONFIG_MAPS, key('crud'), { type: 'json', body: operations });
  assert.deepEqual(replaced.data, { b: '2' });
  const applied = await client.apply(CONFIG_MAPS, configMap('crud', { c: '3' }), { fieldManager: 'test' });
  assert.deepEqual(applied.data, { b: '2', c: '3' });
  await assert.rejects(client.delete(CONFIG_MAPS, key('crud'), { uid: 'another' }), isConflict);
  await client.delete(CONFIG_MAPS, key('crud'));
  await assert.rejects(client.get(CONFIG_MAPS, key('crud')), isNotFound);
  assert.equal(await client.find(CONFIG_MAPS, key('crud')), undefined);
});

test('KubeClient does not keep what was a dry run, and refuses unknown fields when asked to be strict', async () => {
  await client.create(CONFIG_MAPS, configMap('dry', {}), { dryRun: true });
  assert.equal(await client.find(CONFIG_MAPS, key('dry')), undefined);
  const wrong = { ...configMap('strict', {}), dat: {} };
  await assert.rejects(client.create(CONFIG_MAPS, wrong, { fieldValidation: 'Strict' }), (error) => {
    assert.ok(error instanceof KubeError);
    assert.equal(error.statusCode, 400);
    assert.match(error.message, /unknown field "dat"/);
    return true;
  });
  const warnings: string[] = [];
  await client.create(CONFIG_MAPS, wrong, { fieldValidation: 'Warn', onWarning: (text) => warnings.push(text) });
  assert.match(warnings.join(), /unknown field "dat"/);
});

test('KubeClient lists by selectors, page by page', async () => {
  for (const index of [1, 2, 3, 4, 5]) await client.create(CONFIG_MAPS, configMap(`page${index}`, {}, { page: 'yes' }));
  const paged = await client.list(CONFIG_MAPS, { namespace: 'app1', labelSelector: 'page=yes', pageSize: 2 });
  assert.equal(paged.items.length, 5);
  const one = await client.list(CONFIG_MAPS, { fieldSelector: 'metadata.name=page3' });
  assert.deepEqual(
    one.items.map(({ kind, metadata }) => [kind, metadata.name]),
    [['ConfigMap', 'page3']],
  );
});

test('KubeClient gets a token for a service account and has it reviewed, by audience', async () => {
  await client.create(SERVICE_ACCOUNTS, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: key('sleep') });
  const { token, expirationUnixMs } = await client.createToken(key('sleep'), {
    audiences: ['istio-ca'],
    expirationSeconds: 3600,
  });
  assert.ok(Math.abs(expirationUnixMs - Date.now() - 3_600_000) < 60_000);
  const review = await client.reviewToken({ token, audiences: ['istio-ca'] });
  assert.equal(review.authenticated, true);
  assert.equal(review.username, 'system:serviceaccount:app1:sleep');
  assert.ok(review.groups.includes('system:serviceaccounts:app1'));
  assert.deepEqual(review.audiences, ['istio-ca']);
  assert.equal((await client.reviewToken({ token, audiences: ['other'] })).authenticated, false);
  assert.equal((await client.reviewToken({ token: 'forged', audiences: ['istio-ca'] })).authenticated, false);
});

test('KubeClient says that a kind is not served, and that a user may not', async () => {
  const widgets = resourceRef({ group: 'example.org', version: 'v1', plural: 'widgets', kind: 'Widget' });
  await assert.rejects(client.list(widgets), isNotFound);
  const parsed = await parseKubeconfig(await readKubeconfig('nobody', '/CN=nobody'));
  assert.ok(parsed.ok);
  await using stranger = createKubeClient({ access: parsed.value });
  await assert.rejects(stranger.list(PODS), (error) => error instanceof KubeError && error.reason === 'Forbidden');
});

async function readKubeconfig(name: string, subject: string): Promise<string> {
  const { readFile } = await import('node:fs/promises');
  return readFile(cluster.kubeconfigFor(name, subject), 'utf8');
}

test('Informer follows the API server over its restart, without losing or inventing an object', async (t) => {
  const stop = new AbortController();
  t.after(() => stop.abort());
  const informer = createInformer({ client, ref: NAMESPACES, backoff: { baseMs: 20, maxMs: 200 } });
  const told: string[] = [];
  informer.subscribe({
    onAdd: ({ metadata }) => told.push(`+${metadata.name}`),
    onDelete: ({ metadata }) => told.push(`-${metadata.name}`),
  });
  await informer.start(stop.signal);
  await cluster.createNamespace('before');
  await eventually(() => told.includes('+before'));
  const count = informer.store.size;
  await cluster.restart();
  await cluster.createNamespace('after');
  await eventually(() => told.includes('+after'), 10_000);
  assert.equal(informer.store.size, count + 1);
  assert.equal(new Set(told).size, told.length, 'nothing was told twice');
});

test('Thirty informers share one client without warnings or leftovers', async (t) => {
  const warnings: string[] = [];
  const onWarning = (warning: Error): number => warnings.push(warning.message);
  process.on('warning', onWarning);
  t.after(() => process.off('warning', onWarning));
  const stop = new AbortController();
  const informers = Array.from({ length: 30 }, () => createInformer({ client, ref: NAMESPACES }));
  await Promise.all(informers.map((informer) => informer.start(stop.signal)));
  stop.abort();
  await eventually(() => informers.every(({ state }) => state === 'stopped'));
  assert.deepEqual(warnings, []);
});
