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
import { Http1Pool, type PooledConnection, type PoolOptions } from './http1-pool.ts';

const THRESHOLDS = {
  maxConnections: 10,
  maxPendingRequests: 10,
  maxRequests: 10,
  maxRetries: 3,
  retryBudget: undefined,
};

function createPool(
  port: number,
  {
    connect,
    onEmpty = () => {},
    thresholds = THRESHOLDS,
  }: Pick<PoolOptions, 'connect'> & Partial<Pick<PoolOptions, 'onEmpty'>> & { readonly thresholds?: typeof THRESHOLDS },
): Http1Pool {
  const config = hostFixture(port);
  const [locality] = endpointsFixture('a', [config]).localities;
  assert.ok(locality);
  return new Http1Pool({
    host: new Host(config, locality, 0),
    breakers: new Breakers(new Int32Array(new SharedArrayBuffer(64)), 0, 'default', thresholds),
    stats: new ClusterStats(
      new StatsStore({ matcher: undefined, histogramSettings: [], listener: { onPage() {}, onDefinitions() {} } }),
      'a',
    ),
    timers: nodeTimers,
    idleTimeoutMs: 0,
    maxRequestsPerConnection: 0,
    maxConnectionDurationMs: 0,
    connect,
    onEmpty,
  });
}

test('a request that waits for its connection while the pool begins to drain is served, and its connection ends with it', async (t) => {
  const server = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sockets: Socket[] = [];
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const attempts: ConnectEvents[] = [];
  const pool = createPool((server.address() as AddressInfo).port, {
    connect: (events) => {
      attempts.push(events);
      return () => {};
    },
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

test('a pool that may not make its first connection tells that it is empty, so that a pool for each client does not stay', () => {
  let emptyCount = 0;
  const pool = createPool(1, {
    connect: () => assert.fail('there is no room for a request that waits'),
    onEmpty: () => void emptyCount++,
    thresholds: { ...THRESHOLDS, maxPendingRequests: 0 },
  });
  const failures: string[] = [];
  pool.acquire({ onPoolReady: () => assert.fail('served'), onPoolFailed: (reason) => void failures.push(reason) });
  assert.deepEqual([failures, emptyCount], [['overflow'], 1]);
});
