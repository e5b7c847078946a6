import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Container } from '@meltemi/kube';
import { startProber } from './prober.ts';
import { createManualClock } from './testdata/manual-clock.ts';

const probe = { httpGet: { port: 80 } };
const run = { key: 'k', pid: 1, startedMs: 0, env: {}, workingDir: '/', started: false, ready: false };

function startTestProber(container: Partial<Container>) {
  const clock = createManualClock();
  const seen: string[] = [];
  let isHealthy = false;
  const stop = startProber({
    target: { container: { name: 'c', ...container }, run, podIp: '10.0.0.1' },
    act: () => Promise.resolve(isHealthy ? undefined : 'refused'),
    clock,
    events: {
      onStarted: () => seen.push(`started ${clock.nowMs()}`),
      onReady: (isReady) => seen.push(`${isReady ? 'ready' : 'unready'} ${clock.nowMs()}`),
      onUnhealthy: (kind) => seen.push(`${kind} failed ${clock.nowMs()}`),
      onDead: (kind) => seen.push(`${kind} dead ${clock.nowMs()}`),
    },
  });
  return { clock, seen, stop, setHealthy: (value: boolean) => void (isHealthy = value) };
}

test('A container without probes has started and is ready at once', () => {
  assert.deepEqual(startTestProber({}).seen, ['started 0', 'ready 0']);
});

test('A container that comes up within its first period is ready soon after, and nothing has failed', async () => {
  const { clock, seen, stop, setHealthy } = startTestProber({ readinessProbe: probe });
  await clock.advance(400);
  setHealthy(true);
  await clock.advance(5000);
  assert.deepEqual(seen, ['started 0', 'ready 700']);
  stop();
});

test('Readiness is lost after three failed periods and comes back with one success', async () => {
  const { clock, seen, stop, setHealthy } = startTestProber({ readinessProbe: probe });
  setHealthy(true);
  await clock.advance(0);
  setHealthy(false);
  await clock.advance(30_000);
  setHealthy(true);
  await clock.advance(10_000);
  assert.deepEqual(seen, [
    'started 0',
    'ready 0',
    'readiness failed 10000',
    'readiness failed 20000',
    'readiness failed 30000',
    'unready 30000',
    'ready 40000',
  ]);
  stop();
});

test('The startup probe gates the others, and its failures in a row end the container', async () => {
  const startupProbe = { ...probe, periodSeconds: 1, failureThreshold: 3 };
  const late = startTestProber({ startupProbe, livenessProbe: probe, readinessProbe: probe });
  late.setHealthy(true);
  await late.clock.advance(0);
  assert.deepEqual(late.seen, ['started 0', 'ready 0']);
  late.stop();

  const never = startTestProber({ startupProbe, livenessProbe: probe });
  await never.clock.advance(10_000);
  assert.equal(never.seen.filter((event) => event.startsWith('startup failed')).length, 3);
  assert.match(never.seen.at(-1) ?? '', /^startup dead /);
  never.stop();
});

test('Three failed liveness probes in a row end the container; a stopped prober is silent', async () => {
  const { clock, seen, stop } = startTestProber({ livenessProbe: { ...probe, periodSeconds: 5 } });
  await clock.advance(10_000);
  assert.equal(seen.at(-1), 'liveness dead 10000');
  stop();
  const count = seen.length;
  await clock.advance(60_000);
  assert.equal(seen.length, count);
});
