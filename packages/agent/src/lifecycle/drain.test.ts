import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Clock, silentLog } from '@meltemi/base';
import type { LocalRequest, LocalResponse } from '../status/local-http.ts';
import { createDrain, type DrainOptions } from './drain.ts';

/** A clock on which every wait is over at once, and counted. */
function jumpingClock(): Clock & { passedMs: number } {
  const clock = {
    passedMs: 0,
    nowMs: () => clock.passedMs,
    monotonicMs: () => clock.passedMs,
    setTimer(callback: () => void, delayMs: number) {
      clock.passedMs += delayMs;
      setImmediate(callback);
      return { cancel: () => {} };
    },
  };
  return clock;
}

function setUp(answers: readonly (string | Error)[], change: Partial<DrainOptions> = {}) {
  const clock = jumpingClock();
  const events: string[] = [];
  let asked = 0;
  const drain = createDrain(
    {
      adminHost: '127.0.0.1',
      adminPort: 15_000,
      isSidecar: true,
      terminationDrainMs: 5000,
      exitsOnZeroConnections: false,
      minimumDrainMs: 3000,
      ownPorts: [15_000, 15_021, 15_090],
      clock,
      log: silentLog,
      request: async ({ path, method = 'GET' }: LocalRequest): Promise<LocalResponse> => {
        events.push(`${method} ${path.split('?')[0]}${path.includes('drain') ? `?${path.split('?')[1]}` : ''}`);
        if (method === 'POST') return { statusCode: 200, headers: {}, body: 'OK' };
        const answer = answers[Math.min(asked, answers.length - 1)] ?? '';
        asked += 1;
        if (answer instanceof Error) throw answer;
        return { statusCode: 200, headers: {}, body: answer };
      },
      ...change,
    },
    () => events.push('not ready'),
  );
  return { drain, clock, events };
}

test('the signal drains what comes in, then waits as long as the pod says', async () => {
  const { drain, clock, events } = setUp([]);
  await drain.finish();
  assert.deepEqual(events, ['not ready', 'POST /drain_listeners?inboundonly&graceful']);
  assert.equal(clock.passedMs, 5000);
  const gateway = setUp([], { isSidecar: false });
  await gateway.drain.finish();
  assert.deepEqual(gateway.events, ['not ready', 'POST /drain_listeners?graceful']);
});

test('after `/drain`, which never closes listeners, the signal ends the sidecar at once', async () => {
  const { drain, clock, events } = setUp([]);
  await drain.begin();
  await drain.begin();
  await drain.finish();
  assert.deepEqual(events, ['not ready', 'POST /drain_listeners?inboundonly&graceful&skip_exit']);
  assert.equal(clock.passedMs, 0);
});

test('waiting for the last connection counts those of the application only, after a minimum', async () => {
  const own = [
    'listener.0.0.0.0_15021.downstream_cx_active: 4',
    'listener.127.0.0.1_15090.downstream_cx_active: 1',
    'listener.admin.downstream_cx_active: 1',
    'listener.admin.main_thread.downstream_cx_active: 1',
    'listener.envoy_internal_connect_originate.downstream_cx_active: 7',
    'listener.0.0.0.0_15006.worker_0.downstream_cx_active: 2',
    'http.inbound_0.0.0.0_80.downstream_cx_active: 2',
  ].join('\n');
  const busy = `${own}\nlistener.0.0.0.0_15006.downstream_cx_active: 2`;
  const { drain, clock, events } = setUp([busy, busy, `${own}\nlistener.0.0.0.0_15006.downstream_cx_active: 0`], {
    exitsOnZeroConnections: true,
  });
  await drain.finish();
  assert.equal(events.filter((event) => event === 'GET /stats').length, 3);
  assert.equal(clock.passedMs, 3000 + 2 * 1000);
});

test('five unanswered questions in a row end the waiting, four do not', async () => {
  const busy = 'listener.0.0.0.0_15006.downstream_cx_active: 1';
  const refused = new Error('connection refused');
  const four = [refused, refused, refused, refused];
  const { drain, events } = setUp([...four, busy, ...four, '', refused], { exitsOnZeroConnections: true });
  await drain.finish();
  assert.equal(events.filter((event) => event === 'GET /stats').length, 10);
  const gone = setUp([refused], { exitsOnZeroConnections: true });
  await gone.drain.finish();
  assert.equal(gone.events.filter((event) => event === 'GET /stats').length, 5);
});

test('a drain that the proxy refuses, or cannot be asked for, is told', async () => {
  const warnings: string[] = [];
  const log = { ...silentLog, warn: (message: string) => void warnings.push(message) };
  const refused = async (): Promise<LocalResponse> => ({ statusCode: 404, headers: {}, body: '' });
  await setUp([], { log, request: refused }).drain.begin();
  await setUp([], { log, request: () => Promise.reject(new Error('connection refused')) }).drain.begin();
  await setUp([], { log }).drain.begin();
  assert.deepEqual(warnings, ['The proxy does not drain: its admin port refused', 'Cannot ask the proxy to drain']);
});
