import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IstioStatus } from '@meltemi/api';
import { type Clock, createTaskOwner, silentLog, systemClock, systemRandom } from '@meltemi/base';
import { createConfigStore, createKubernetesSource } from '@meltemi/galley';
import { CONFIG_MAPS, EVENTS, KubeError, type KubeObject, resourceRef } from '@meltemi/kube';
import { FakeKubeClient } from '@meltemi/kube/testing';
import type { MeshSnapshot } from '@meltemi/model';
import { eventually } from '@meltemi/testing';
import type { DiscoveryStreamStatus } from '@meltemi/xds/server';
import { createDistributionLedger, type DistributionReport } from './distribution-ledger.ts';
import { tellRejections } from './rejection-events.ts';
import { followReports, publishReports, REPORT_LABEL } from './replica-reports.ts';
import { buildStatus, differsInSubstance } from './resource-status.ts';
import { keepStatuses } from './status-writer.ts';

const DEADLINE_MS = 8_000;
const COMMON = { clock: systemClock, random: systemRandom, log: silentLog };
const NOW = '2026-11-26T12:00:00Z';
const KEY = 'VirtualService/app1/v';

type Stored = KubeObject & { readonly spec: unknown; readonly status?: IstioStatus };

const VIRTUAL_SERVICES = resourceRef<Stored>({
  group: 'networking.istio.io',
  version: 'v1',
  plural: 'virtualservices',
  kind: 'VirtualService',
});

function report(proxyCount: number, generation: number, ackedCount: number): DistributionReport {
  return { proxyCount, configs: new Map([[KEY, { generation, ackedCount }]]) };
}

test('A ledger counts the proxies that have acknowledged the snapshot since which an object is as it is', () => {
  const proxy = (number: number, ...acked: readonly number[]) =>
    ({ number, subscriptions: acked.map((ackedNumber) => ({ ackedNumber })) }) as unknown as DiscoveryStreamStatus;
  const ledger = createDistributionLedger(() => [proxy(3, 3, 3), proxy(3, 3, 1), proxy(2, 2)]);
  const resource = { kind: 'VirtualService', namespace: 'app1', name: 'v', generation: 4 };
  const snapshot = (number: number, held: object) =>
    ({ number, configsByKind: new Map([['VirtualService', [held]]]) }) as unknown as MeshSnapshot;
  ledger.take(snapshot(1, resource));
  ledger.take(snapshot(2, resource));
  assert.deepEqual(ledger.report(), report(3, 4, 3));
  ledger.take(snapshot(3, { ...resource, generation: 5 }));
  assert.deepEqual(ledger.report(), report(3, 5, 1));
});

test('GALLEY-11 a status counts proxies and keeps what others wrote into it; its transition time moves with its truth', () => {
  const other = { type: 'Other', status: 'True' } as const;
  const facts = { generation: 2, ackedCount: 1, proxyCount: 2, findings: [] };
  const first = buildStatus({ conditions: [other] }, facts, NOW);
  assert.deepEqual(first, {
    conditions: [
      other,
      {
        type: 'Reconciled',
        status: 'False',
        lastProbeTime: NOW,
        lastTransitionTime: NOW,
        message: '1/2 proxies up to date.',
        observedGeneration: 2,
      },
    ],
    validationMessages: [],
    observedGeneration: 2,
  });
  const later = '2026-11-26T12:01:00Z';
  const second = buildStatus(first, { ...facts, proxyCount: 3 }, later);
  assert.equal(second.conditions?.[1]?.lastTransitionTime, NOW);
  assert.equal(differsInSubstance(first, second), false);
  const third = buildStatus(second, { ...facts, ackedCount: 3, proxyCount: 3 }, later);
  assert.deepEqual([third.conditions?.[1]?.status, third.conditions?.[1]?.lastTransitionTime], ['True', later]);
  assert.equal(differsInSubstance(second, third), true);
});

test('Replicas report to the one that leads, and take their reports back; it takes away those of replicas that are gone', async () => {
  const client = new FakeKubeClient();
  const stops = { a: new AbortController(), b: new AbortController() };
  let aheadMs = 0;
  const clock: Clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + aheadMs };
  const exchange = (reporter: string) => ({ ...COMMON, clock, client, namespace: 'istio-system', reporter });
  client.seed(CONFIG_MAPS, {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'dead-distribution', namespace: 'istio-system', labels: { [REPORT_LABEL]: 'true' } },
    data: { 'distribution-report': '{"proxyCount":5,"configs":{}}' },
  });
  const others = followReports(exchange('a'), stops.a.signal);
  const dead = { proxyCount: 5, configs: new Map() };
  const names = () => client.objects(CONFIG_MAPS).map(({ metadata }) => metadata.name);
  const leading = { report: () => report(9, 1, 9), isLeading: () => true, others };
  const leader = publishReports(exchange('a'), leading, stops.a.signal);
  const following = { report: () => report(2, 1, 1), isLeading: () => false, others: { stale: () => [] } };
  const follower = publishReports(exchange('b'), following, stops.b.signal);
  await eventually(() => assert.deepEqual(others.alive(), [dead, report(2, 1, 1)]), DEADLINE_MS, 10);
  assert.deepEqual(names(), ['b-distribution', 'dead-distribution']);
  aheadMs = 61_000;
  await eventually(() => assert.ok(!names().includes('dead-distribution')), DEADLINE_MS, 10);
  stops.b.abort();
  await follower;
  await eventually(() => assert.deepEqual([names(), others.alive()], [[], []]), DEADLINE_MS, 10);
  stops.a.abort();
  await leader;
});

async function startWriter(reports: () => readonly DistributionReport[], spec: unknown) {
  const client = new FakeKubeClient();
  client.onRequest = () => ({ status: 200, headers: {}, body: '{"resources":[{"name":"virtualservices"}]}' });
  client.seed(VIRTUAL_SERVICES, {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'v', namespace: 'app1', generation: 1 },
    spec,
  });
  const store = createConfigStore({ log: silentLog });
  const source = createKubernetesSource({ client, store, log: silentLog });
  const stop = new AbortController();
  await source.start(stop.signal);
  const discovers = (namespace: string) => namespace !== 'outside';
  const { informers } = source;
  const options = { ...COMMON, client, informers, store, reports, discovers, domainSuffix: 'cluster.local' };
  const running = keepStatuses(options, stop.signal);
  return {
    client,
    condition: () => client.objects(VIRTUAL_SERVICES)[0]?.status?.conditions?.[0],
    status: () => client.objects(VIRTUAL_SERVICES)[0]?.status,
    writes: () => client.calls.filter(({ verb }) => verb === 'patch').length,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
    },
  };
}

const GOOD = { hosts: ['a'], http: [{ route: [{ destination: { host: 'a' } }] }] };

test('GALLEY-11 the status says Reconciled once the proxies of all replicas have an object, is written once for that, and falls when one lags', async () => {
  let reports = [report(2, 1, 1), report(1, 1, 1)];
  await using writer = await startWriter(() => reports, GOOD);
  await eventually(() => assert.equal(writer.condition()?.message, '2/3 proxies up to date.'), DEADLINE_MS, 20);
  assert.equal(writer.condition()?.status, 'False');
  reports = [report(2, 1, 2), report(1, 1, 1)];
  await eventually(() => assert.equal(writer.condition()?.status, 'True'), DEADLINE_MS, 20);
  assert.equal(writer.condition()?.observedGeneration, 1);
  const before = writer.writes();
  // Two proxies more, which have everything: no news for an object.
  reports = [report(4, 1, 4), report(1, 1, 1)];
  const rounds = performance.now() + 2_500;
  await eventually(() => performance.now() > rounds, DEADLINE_MS);
  assert.equal(writer.writes(), before);
});

test('What is outside of the mesh gets no status: another mesh may write it', async () => {
  await using writer = await startWriter(() => [report(1, 1, 1)], GOOD);
  const { client } = writer;
  const present = client.objects(VIRTUAL_SERVICES)[0];
  assert.ok(present);
  const key = { name: 'v', namespace: 'outside', generation: 1 };
  client.seed(VIRTUAL_SERVICES, { ...present, metadata: key });
  await eventually(() => assert.equal(writer.condition()?.status, 'True'), DEADLINE_MS, 20);
  const rounds = performance.now() + 3_500;
  await eventually(() => performance.now() > rounds, DEADLINE_MS);
  const statuses = client
    .objects(VIRTUAL_SERVICES)
    .map(({ metadata, status }) => [metadata.namespace, status?.conditions?.length]);
  assert.deepEqual(statuses, [
    ['app1', 1],
    ['outside', undefined],
  ]);
});

test('An object that is not taken is told by an Event, unless its namespace is outside of the mesh', async () => {
  const client = new FakeKubeClient();
  const store = createConfigStore({ log: silentLog });
  const tasks = createTaskOwner(() => undefined);
  const stop = new AbortController();
  const discovers = (namespace: string) => namespace !== 'outside';
  tellRejections({ ...COMMON, client, store, isLeading: () => true, discovers, tasks }, stop.signal);
  for (const namespace of ['app1', 'outside']) {
    store.put({
      apiVersion: 'networking.istio.io/v1',
      kind: 'VirtualService',
      metadata: { name: 'v', namespace, resourceVersion: '1', uid: namespace },
      spec: { hosts: [] },
    });
  }
  await tasks.settled();
  assert.deepEqual(
    client.objects(EVENTS).map(({ metadata }) => metadata.namespace),
    ['app1'],
  );
  stop.abort();
});

test('A version that is not taken says so in its status, with the codes of what is wrong', async () => {
  const route = [0, 1].map((at) => ({ destination: { host: `h${at}` }, weight: 0 }));
  await using writer = await startWriter(() => [report(1, 1, 1)], { hosts: ['a'], http: [{ route }] });
  await eventually(
    () => assert.match(writer.condition()?.message ?? '', /^Not taken: .*weights sum to 0/),
    DEADLINE_MS,
    20,
  );
  assert.equal(writer.condition()?.status, 'False');
  assert.deepEqual(
    writer.status()?.validationMessages?.map(({ type, level }) => [type.code, level]),
    [['IST0106', 'ERROR']],
  );
});

test('A status that cannot be written is not tried again at once', async () => {
  const denied = new KubeError('no', { statusCode: 403, reason: 'Forbidden' });
  await using writer = await startWriter(() => [report(1, 1, 1)], GOOD);
  writer.client.failWhen(({ verb }) => (verb === 'patch' ? denied : undefined));
  await eventually(() => assert.equal(writer.writes(), 1), DEADLINE_MS, 20);
  const rounds = performance.now() + 2_500;
  await eventually(() => performance.now() > rounds, DEADLINE_MS);
  assert.equal(writer.writes(), 1);
});

test('Objects whose status is refused for good keep no other from getting its own', async () => {
  const denied = new KubeError('no', { statusCode: 403, reason: 'Forbidden' });
  await using writer = await startWriter(() => [report(1, 1, 1)], GOOD);
  const { client } = writer;
  client.failWhen(({ verb, key }) => (verb === 'patch' && key.name !== 'last' ? denied : undefined));
  const present = client.objects(VIRTUAL_SERVICES)[0];
  assert.ok(present);
  // More than one round writes, and all of them before the one that can be written.
  const names = [...Array.from({ length: 25 }, (_, at) => `bad${at}`), 'last'];
  const bad = { hosts: [] };
  for (const name of names) {
    client.seed(VIRTUAL_SERVICES, { ...present, spec: bad, metadata: { name, namespace: 'app1', generation: 1 } });
  }
  const last = () => client.objects(VIRTUAL_SERVICES).find(({ metadata }) => metadata.name === 'last');
  await eventually(() => assert.equal(last()?.status?.conditions?.[0]?.status, 'False'), DEADLINE_MS, 20);
});
