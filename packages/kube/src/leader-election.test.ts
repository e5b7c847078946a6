import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog, systemClock } from '@meltemi/base';
import { KubeError } from './errors.ts';
import { type LeaderElectionOptions, runLeaderElection } from './leader-election.ts';
import { LEASES } from './resources.ts';
import { eventually } from './testing/eventually.ts';
import { FakeKubeClient } from './testing/fake-kube-client.ts';
import type { CallOptions } from './types.ts';

const KEY = { namespace: 'istio-system', name: 'leader' };
const TIMING = { leaseDurationMs: 200, renewDeadlineMs: 100, retryMs: 10 };

function join(
  client: FakeKubeClient,
  identity: string,
  leading: Set<string>,
  stop: AbortSignal,
  revision?: LeaderElectionOptions['revision'],
): Promise<void> {
  return runLeaderElection(
    {
      client,
      lease: KEY,
      identity,
      clock: systemClock,
      random: () => 0.5,
      log: silentLog,
      timing: TIMING,
      ...(revision === undefined ? {} : { revision }),
      lead: async (signal) => {
        leading.add(identity);
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
        leading.delete(identity);
      },
    },
    stop,
  );
}

test('LeaderElection lets one of two lead, and the other take over at once when the lease is released', async () => {
  const client = new FakeKubeClient();
  const leading = new Set<string>();
  const stops = { a: new AbortController(), b: new AbortController() };
  const first = join(client, 'a', leading, stops.a.signal);
  await eventually(() => leading.has('a'));
  const second = join(client, 'b', leading, stops.b.signal);
  await eventually(() => client.calls.filter(({ verb }) => verb === 'update').length > 3);
  assert.deepEqual([...leading], ['a']);
  stops.a.abort();
  await first;
  await eventually(() => leading.has('b'));
  const lease = await client.get(LEASES, KEY);
  assert.equal(lease.spec?.leaseTransitions, 1);
  stops.b.abort();
  await second;
  assert.equal((await client.get(LEASES, KEY)).spec?.holderIdentity, '');
});

test('LeaderElection steps down when it cannot renew, before another may lead', async () => {
  const client = new FakeKubeClient();
  const leading = new Set<string>();
  const stop = new AbortController();
  const election = join(client, 'a', leading, stop.signal);
  await eventually(() => leading.has('a'));
  const heal = client.failWhen(() => new KubeError('away', { statusCode: 0 }));
  await eventually(() => !leading.has('a'));
  heal();
  await eventually(() => leading.has('a'));
  stop.abort();
  await election;
});

test('LeaderElection takes a lease over only after having seen it unchanged for its whole duration', async () => {
  const client = new FakeKubeClient();
  client.seed(LEASES, {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: KEY,
    spec: { holderIdentity: 'dead', leaseDurationSeconds: 1, renewTime: '2000-01-01T00:00:00.000000Z' },
  });
  const leading = new Set<string>();
  const stop = new AbortController();
  const startedMs = performance.now();
  const election = join(client, 'a', leading, stop.signal);
  await eventually(() => leading.has('a'));
  assert.ok(performance.now() - startedMs >= 1_000);
  stop.abort();
  await election;
});

test('LeaderElection lets the preferred revision take the lease from another one, and not the other way round', async () => {
  const client = new FakeKubeClient();
  const leading = new Set<string>();
  const stops = { canary: new AbortController(), stable: new AbortController() };
  const enter = (name: 'canary' | 'stable'): Promise<void> =>
    join(client, name, leading, stops[name].signal, { name, isPreferred: name === 'stable' });
  const canary = enter('canary');
  await eventually(() => leading.has('canary'));
  const stable = enter('stable');
  await eventually(() => leading.has('stable') && !leading.has('canary'));
  const updates = (): number => client.calls.filter(({ verb }) => verb === 'update').length;
  const before = updates();
  await eventually(() => updates() > before + 5);
  assert.deepEqual([...leading], ['stable']);
  assert.equal((await client.get(LEASES, KEY)).metadata.labels?.['istio.io/rev'], 'stable');
  stops.canary.abort();
  stops.stable.abort();
  await Promise.all([canary, stable]);
});

test('LeaderElection counts its term from the sending of the write that took the lease, and bounds a look after a conflict', async () => {
  const client = new FakeKubeClient();
  let aheadMs = 0;
  const looks: (CallOptions | undefined)[] = [];
  const slow: LeaderElectionOptions['client'] = {
    find: (ref, key, call) => {
      looks.push(call);
      return looks.length === 1 ? client.find(ref, key) : Promise.reject(new KubeError('away', { statusCode: 0 }));
    },
    async create(ref, object) {
      const created = await client.create(ref, object);
      aheadMs = 59_800;
      return created;
    },
    update: () => Promise.reject(new KubeError('changed', { statusCode: 409, reason: 'Conflict' })),
  };
  let isLeading = false;
  const stop = new AbortController();
  const election = runLeaderElection(
    {
      client: slow,
      lease: KEY,
      identity: 'a',
      clock: { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + aheadMs },
      random: () => 0.5,
      log: silentLog,
      timing: { leaseDurationMs: 90_000, renewDeadlineMs: 60_000, retryMs: 500 },
      async lead(signal) {
        isLeading = true;
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
        isLeading = false;
      },
    },
    stop.signal,
  );
  await eventually(() => isLeading);
  await eventually(() => !isLeading);
  assert.ok((looks[1]?.timeoutMs ?? Number.POSITIVE_INFINITY) <= 200);
  stop.abort();
  await election;
});
