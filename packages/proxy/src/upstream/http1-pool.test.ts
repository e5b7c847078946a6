import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { eventually } from '@meltemi/testing';
import { nodeTimers } from '../network/timers.ts';
import { ClusterStats } from '../stats/cluster-stats.ts';
import { StatsStore } from '../stats/stats-store.ts';
import { endpointsFixture, hostFixture } from '../testing/runtime-resources.ts';
import { Breakers } from './breakers.ts';
import type { ConnectEvents } from './connect.ts';
import { Host } from './host.ts';
import { Http1Pool, type PooledConnection } from './http1-pool.ts';

const THRESHOLDS = {
  maxConnections: 10,
  maxPendingRequests: 10,
  maxRequests: 10,
  maxRetries: 3,
  retryBudget: undefined,
};

test('a request that waits for its connection while the pool begins to drain is served, and its connection ends with it', async (t) => {
  const server = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sockets: Socket[] = [];
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const config = hostFixture((server.address() as AddressInfo).port);
  const [locality] = endpointsFixture('a', [config]).localities;
  assert.ok(locality);
  const attempts: ConnectEvents[] = [];
  const pool = new Http1Pool({
    host: new Host(config, locality, 0),
    breakers: new Breakers(new Int32Array(new SharedArrayBuffer(64)), 0, 'default', THRESHOLDS),
    stats: new ClusterStats(
      new StatsStore({ matcher: undefined, histogramSettings: [], listener: { onPage() {}, onDefinitions() {} } }),
      'a',
    ),
    timers: nodeTimers,
    idleTimeoutMs: 0,
    maxRequestsPerConnection: 0,
    maxConnectionDurationMs: 0,
    connect: (events) => {
      attempts.push(events);
      return () => {};
    },
    onEmpty: () => {},
  });
  const served: PooledConnection[] = [];
  pool.acquire({ onPoolReady: (pooled) => void served.push(pooled), onPoolFailed: (reason) => assert.fail(reason) });
  pool.drain();

  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  sockets.push(socket);
  await once(socket, 'connect');
  attempts[0]?.onConnected({ socket, tls: undefined, localAddress: '' });
  assert.equal(served.length, 1);
  assert.equal(attempts.length, 1, 'one connection was enough');

  served[0]?.client.close();
  await eventually(() => assert.ok(pool.isEmpty), 5_000);
});
