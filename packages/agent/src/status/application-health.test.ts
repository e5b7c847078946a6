import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { err, ok, type Result, silentLog, systemClock } from '@meltemi/base';
import { eventually } from '@meltemi/testing';
import { createApplicationHealth, type HealthEvent, type HealthProbe, parseHealthProbe } from './application-health.ts';

const WITHIN_MS = 10_000;

interface Watched extends AsyncDisposable {
  readonly events: readonly (HealthEvent | undefined)[];
}

/** Asks every few milliseconds. */
function watch(probe: HealthProbe, check: () => Result<true> = () => ok(true)): Watched {
  const health = createApplicationHealth({
    probe: { periodSeconds: 0.01, ...probe },
    podIp: '127.0.0.1',
    readiness: { check: () => Promise.resolve(check()) },
    clock: systemClock,
    log: silentLog,
  });
  const events: (HealthEvent | undefined)[] = [];
  health.onChange(() => void events.push(health.current()));
  const stop = new AbortController();
  const running = health.run(stop.signal);
  return {
    events,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
    },
  };
}

test('only changes are told, after as many answers in a row as the probe wants', async () => {
  let calls = 0;
  let status = 200;
  const server = createServer((_request, response) => {
    calls += 1;
    response.writeHead(status).end('why');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const { port } = server.address() as AddressInfo;
    await using watched = watch({ httpGet: { port, path: '/' }, failureThreshold: 3 });
    await eventually(() => assert.ok(calls > 5), WITHIN_MS);
    assert.deepEqual(watched.events, [{ isHealthy: true, message: '' }]);
    calls = 0;
    status = 503;
    await eventually(() => assert.equal(watched.events.length, 2), WITHIN_MS);
    assert.ok(calls >= 3);
    assert.deepEqual(watched.events[1], { isHealthy: false, message: '503 why' });
    status = 302;
    await eventually(() => assert.deepEqual(watched.events[2], { isHealthy: true, message: '' }), WITHIN_MS);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

test('an application behind a proxy that is not ready is not healthy', async () => {
  let ready: Result<true> = err('no listeners yet');
  await using watched = watch({ exec: { command: ['true'] } }, () => ready);
  await eventually(() => assert.equal(watched.events.length, 1), WITHIN_MS);
  assert.deepEqual(watched.events[0], { isHealthy: false, message: 'no listeners yet' });
  ready = ok(true);
  await eventually(() => assert.equal(watched.events[1]?.isHealthy, true), WITHIN_MS);
});

test('a command is healthy by its exit code, and has its time', async () => {
  await using failing = watch({ exec: { command: ['sh', '-c', 'echo broken >&2; exit 3'] } });
  await using slow = watch({ exec: { command: ['sleep', '60'] }, timeoutSeconds: 0.05 });
  await using absent = watch({ exec: { command: ['/nonexistent'] } });
  for (const [watched, message] of [
    [failing, /^broken$/],
    [slow, /^timed out$/],
    [absent, /ENOENT/],
  ] as const) {
    await eventually(() => assert.equal(watched.events.length, 1), WITHIN_MS);
    assert.equal(watched.events[0]?.isHealthy, false);
    assert.match(watched.events[0]?.message ?? '', message);
  }
});

test('a probe asks in one way', () => {
  assert.deepEqual(parseHealthProbe(undefined), ok(undefined));
  assert.ok(parseHealthProbe({ tcpSocket: { port: 1 } }).ok);
  for (const wrong of [{}, null, { tcpSocket: { port: 1 }, exec: { command: ['true'] } }]) {
    const parsed = parseHealthProbe(wrong);
    assert.match(parsed.ok ? '' : parsed.error, /readinessProbe: one of/);
  }
});

test('the numbers of a probe are numbers that a timer takes, or the application would be asked without pause', () => {
  const tcpSocket = { port: 1 };
  assert.ok(parseHealthProbe({ tcpSocket, periodSeconds: 5, initialDelaySeconds: 0 }).ok);
  for (const wrong of ['fast', '10', -1, Number.NaN, 3_000_000]) {
    const parsed = parseHealthProbe({ tcpSocket, periodSeconds: wrong });
    assert.match(
      parsed.ok ? '' : parsed.error,
      /readinessProbe\.periodSeconds: must be a number of 0 to/,
      String(wrong),
    );
  }
});
