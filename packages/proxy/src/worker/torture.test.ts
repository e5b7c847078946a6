import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { createDataPlaneFixture, eventually, simpleConfig, startTcpServer } from '../testing/data-plane-fixture.ts';
import { retryPolicyFixture } from '../testing/runtime-resources.ts';
import { seededRandom } from './seeded-random.ts';

const REQUESTS = [
  'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
  'POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789',
  'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nraw',
  'HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello',
];
const RESPONSES = [
  'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
  'HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello',
  'HTTP/1.1 200 OK\r\n\r\nuntil close',
  'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n',
  'HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n',
];
const DAMAGE = ['\n', '\r', '\0', ':', ' ', 'z', '\r\n'];
const ROUNDS = 40;
const CLIENTS = 20;
const SEED = 7;

/** Every gauge that must be back at zero when nobody is connected any more. */
const GAUGES = [
  'http.test.downstream_cx_active',
  'http.test.downstream_rq_active',
  'http.test.downstream_cx_upgrades_active',
  'cluster.backend.upstream_rq_active',
  'cluster.backend.upstream_rq_pending_active',
  'listener.127.0.0.1_0.downstream_cx_active',
];

test(`damaged and interrupted messages from both sides leave nothing behind (seed ${SEED})`, async () => {
  const random = seededRandom(SEED);
  const pick = (texts: readonly string[]): string => texts[Math.floor(random() * texts.length)] as string;
  const damaged = (text: string): Buffer => {
    let result = text;
    for (let count = Math.floor(random() * 3); count > 0; count--) {
      const at = Math.floor(random() * result.length);
      const draw = random();
      if (draw < 0.3) result = result.slice(0, at) + pick(DAMAGE) + result.slice(at);
      else if (draw < 0.6) result = result.slice(0, at) + result.slice(at + 1);
      else if (draw < 0.8) result = result.slice(0, at);
      else result += pick([...REQUESTS, ...RESPONSES]);
    }
    return Buffer.from(result, 'latin1');
  };
  await using origin = await startTcpServer((socket) => {
    socket.on('data', () => {
      if (random() < 0.1) {
        socket.resetAndDestroy();
        return;
      }
      const bytes = damaged(pick(RESPONSES));
      const cut = Math.floor(random() * bytes.length);
      socket.write(bytes.subarray(0, cut));
      setImmediate(() => {
        if (socket.writable) socket.write(bytes.subarray(cut));
        if (random() < 0.3) socket.end();
      });
    });
    socket.on('end', () => socket.end());
  });
  await using proxy = createDataPlaneFixture();
  await proxy.apply(
    simpleConfig({
      hosts: [origin.port],
      http: { upgrades: [{ type: 'websocket', enabled: true }], delayedCloseTimeoutMs: 10 },
      action: { timeoutMs: 100, retryPolicy: retryPolicyFixture({ numRetries: 2, baseIntervalMs: 1 }) },
    }),
  );
  const client = (): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect({ port: proxy.port(), host: '127.0.0.1', allowHalfOpen: true });
      socket.on('error', () => {});
      socket.on('close', () => resolve());
      socket.resume();
      const bytes = Buffer.concat(Array.from({ length: 1 + Math.floor(random() * 3) }, () => damaged(pick(REQUESTS))));
      const cut = Math.floor(random() * bytes.length);
      socket.write(bytes.subarray(0, cut));
      setImmediate(() => {
        if (socket.writable) socket.write(bytes.subarray(cut));
      });
      setTimeout(() => {
        if (random() < 0.5) socket.destroy();
        else socket.end();
        setTimeout(() => socket.destroy(), 20);
      }, random() * 30);
    });
  for (let round = 0; round < ROUNDS; round++) await Promise.all(Array.from({ length: CLIENTS }, client));

  await eventually(() => GAUGES.every((name) => proxy.stat(name) === 0), 5000).catch(() => {});
  assert.deepEqual(
    GAUGES.filter((name) => proxy.stat(name) !== 0),
    [],
  );
  assert.ok(proxy.stat('http.test.downstream_rq_total') > ROUNDS * CLIENTS * 0.5);
});
