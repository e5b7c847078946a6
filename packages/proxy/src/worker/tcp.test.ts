import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { createDataPlaneFixture, eventually, simpleConfig, startTcpServer } from '../testing/data-plane-fixture.ts';
import {
  clusterFixture,
  endpointsFixture,
  filterChainFixture,
  hostFixture,
  listenerFixture,
  tcpProxyFixture,
} from '../testing/runtime-resources.ts';

function tcpListener(fields: Partial<Parameters<typeof tcpProxyFixture>[1]> = {}) {
  return {
    remove: [],
    upsert: [
      listenerFixture({ filterChains: [filterChainFixture({ filters: [tcpProxyFixture('backend', fields)] })] }),
    ],
  };
}

test('bytes are relayed both ways and each direction ends by itself', async () => {
  let received = '';
  await using server = await startTcpServer((socket) => {
    socket.on('data', (chunk) => {
      received += chunk;
    });
    // Answers only after the client has ended its direction.
    socket.on('end', () => socket.end(`got ${received}`));
  });
  await using proxy = createDataPlaneFixture();
  await proxy.apply({ ...simpleConfig({ hosts: [server.port] }), listeners: tcpListener() });
  const socket = connect({ port: proxy.port(), host: '127.0.0.1', allowHalfOpen: true });
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk;
  });
  socket.end('hello');
  await once(socket, 'end');
  assert.equal(answer, 'got hello');
  socket.destroy();
  await eventually(() => proxy.stat('tcp.test.downstream_cx_active') === 0);
  assert.equal(proxy.stat('cluster.backend.upstream_cx_active'), 0);
});

test('a server that speaks first is heard', async () => {
  await using server = await startTcpServer((socket) => void socket.end('welcome'));
  await using proxy = createDataPlaneFixture();
  await proxy.apply({ ...simpleConfig({ hosts: [server.port] }), listeners: tcpListener() });
  const socket = connect(proxy.port(), '127.0.0.1');
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  assert.equal(chunk.toString(), 'welcome');
  socket.destroy();
});

test('a slow reader holds the sender back', async () => {
  let sent = 0;
  await using server = await startTcpServer((socket) => {
    const fill = (): void => {
      while (socket.writable && socket.write(Buffer.alloc(65_536))) sent += 65_536;
    };
    socket.on('drain', fill);
    fill();
  });
  await using proxy = createDataPlaneFixture();
  await proxy.apply({ ...simpleConfig({ hosts: [server.port] }), listeners: tcpListener() });
  const socket = connect(proxy.port(), '127.0.0.1');
  socket.pause();
  await eventually(() => sent > 0);
  let before = -1;
  // The kernel's buffers fill, and then nothing moves any more.
  await eventually(() => {
    const stable = sent === before;
    before = sent;
    return stable;
  }, 5000);
  const stalledAt = sent;
  assert.ok(stalledAt < 64 * 1024 * 1024);
  socket.resume();
  await eventually(() => sent > stalledAt);
  socket.destroy();
});

test('an idle connection is closed', async () => {
  await using server = await startTcpServer(() => {});
  await using proxy = createDataPlaneFixture();
  await proxy.apply({ ...simpleConfig({ hosts: [server.port] }), listeners: tcpListener({ idleTimeoutMs: 100 }) });
  const socket = connect(proxy.port(), '127.0.0.1');
  await once(socket, 'close');
  assert.equal(proxy.stat('tcp.test.idle_timeout'), 1);
});

test('a client that aborts aborts upstream', async () => {
  let error: NodeJS.ErrnoException | undefined;
  let isConnected = false;
  await using server = await startTcpServer((socket) => {
    isConnected = true;
    socket.on('error', (seen) => {
      error = seen;
    });
    socket.resume();
  });
  await using proxy = createDataPlaneFixture();
  await proxy.apply({ ...simpleConfig({ hosts: [server.port] }), listeners: tcpListener() });
  const socket = connect(proxy.port(), '127.0.0.1');
  await once(socket, 'connect');
  await eventually(() => isConnected);
  socket.resetAndDestroy();
  await eventually(() => error?.code === 'ECONNRESET');
});

test('a host that is not there closes the connection and logs UF', async () => {
  await using proxy = createDataPlaneFixture();
  const log = {
    path: 'log',
    format: { kind: 'text', text: '%RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n' },
    omitEmptyValues: false,
    filter: undefined,
  } as const;
  let port: number;
  {
    await using gone = await startTcpServer(() => {});
    port = gone.port;
  }
  await proxy.apply({ ...simpleConfig({ hosts: [port] }), listeners: tcpListener({ accessLogs: [log] }) });
  const socket = connect(proxy.port(), '127.0.0.1');
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('close', resolve));
  assert.equal(proxy.logLines.join(''), '0 UF delayed_connect_error:_Connection_refused\n');
});

test("a client's connections go to one host where the cluster balances by its address", async () => {
  const counts = [0, 0, 0];
  const serve = (index: number) =>
    startTcpServer((socket) => {
      counts[index] = (counts[index] as number) + 1;
      socket.end('x');
    });
  await using first = await serve(0);
  await using second = await serve(1);
  await using third = await serve(2);
  const hosts = [first, second, third].map(({ port }) => hostFixture(port));
  await using proxy = createDataPlaneFixture();
  await proxy.apply({
    clusters: { remove: [], upsert: [clusterFixture('backend', { lbPolicy: { kind: 'maglev', tableSize: 1009 } })] },
    endpoints: { remove: [], upsert: [endpointsFixture('backend', hosts)] },
    listeners: tcpListener({ hashesSourceIp: true }),
  });
  for (let connection = 0; connection < 12; connection++) {
    const socket = connect(proxy.port(), '127.0.0.1');
    await once(socket.resume(), 'end');
  }
  assert.deepEqual(counts.toSorted(), [0, 0, 12]);
});
