import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import {
  createDataPlaneFixture,
  type DataPlaneFixture,
  eventually,
  exchangeRaw,
  fetchHttp,
  type SimpleConfig,
  simpleConfig,
  startOrigin,
  startTcpServer,
} from '../testing/data-plane-fixture.ts';
import { routeFixture } from '../testing/runtime-resources.ts';

const LOG_FORMAT = '%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n';

function accessLog(text: string) {
  return { path: 'log', format: { kind: 'text', text }, omitEmptyValues: false, filter: undefined } as const;
}

/** A proxy in front of an origin that must not be reached. */
async function refusedRequest(
  bytes: string,
  http: SimpleConfig['http'] = {},
): Promise<{ answer: string; log: string; seen: number }> {
  let seen = 0;
  await using origin = await startTcpServer(() => {
    seen += 1;
  });
  await using proxy = createDataPlaneFixture();
  await proxy.apply(
    simpleConfig({
      hosts: [origin.port],
      http: { delayedCloseTimeoutMs: 20, accessLogs: [accessLog(LOG_FORMAT)], ...http },
    }),
  );
  const answer = await exchangeRaw(proxy.port(), bytes);
  return { answer, log: proxy.logLines.join(''), seen };
}

async function withEcho<Result>(
  run: (proxy: DataPlaneFixture, origin: { readonly heads: string[] }) => Promise<Result>,
  config: Omit<SimpleConfig, 'hosts'> = {},
): Promise<Result> {
  const heads: string[] = [];
  await using origin = await startOrigin((request, response) => {
    const fields: string[] = [];
    for (let at = 0; at < request.rawHeaders.length; at += 2) {
      fields.push(`${request.rawHeaders[at]}: ${request.rawHeaders[at + 1]}`);
    }
    heads.push(`${request.method} ${request.url}\n${fields.join('\n')}`);
    request.resume();
    request.on('end', () => response.end(request.url));
  });
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [origin.port], ...config }));
  return await run(proxy, { heads });
}

test('PROXY-15 a request without Host is answered with 400, missing_host_header', async () => {
  const { answer, log, seen } = await refusedRequest('GET / HTTP/1.1\r\nconnection: close\r\n\r\n');
  assert.match(answer, /^HTTP\/1\.1 400 /);
  assert.match(log, /^400 - missing_host_header$/m);
  assert.equal(seen, 0);
});

const refused: readonly (readonly [string, string, number])[] = [
  [
    'PROXY-16 Content-Length with Transfer-Encoding is answered with 400, closed, and never forwarded',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  [
    'PROXY-17 an unknown transfer coding is answered with 501, as Envoy 1.40 does, and closed',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n',
    501,
  ],
  [
    'PROXY-18 a Content-Length with a sign is answered with 400',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello',
    400,
  ],
  [
    'PROXY-19 two different Content-Length fields are answered with 400',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!',
    400,
  ],
  [
    'equal Content-Length fields are refused too',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello',
    400,
  ],
  ['PROXY-20 a bare LF after a header line is answered with 400', 'GET / HTTP/1.1\r\nHost: a\nx: y\r\n\r\n', 400],
  ['a head of bare LFs is refused without waiting for more', 'GET / HTTP/1.1\nHost: a\n\n', 400],
  ['PROXY-21 a space before the colon is answered with 400', 'GET / HTTP/1.1\r\nHost: a\r\nFoo : bar\r\n\r\n', 400],
  ['PROXY-22 a folded line is answered with 400', 'GET / HTTP/1.1\r\nHost: a\r\nx: y\r\n z\r\n\r\n', 400],
  ['PROXY-23 NUL in a value is answered with 400', 'GET / HTTP/1.1\r\nHost: a\r\nx: y\0z\r\n\r\n', 400],
  ['a bare CR in a value is refused', 'GET / HTTP/1.1\r\nHost: a\r\nx: y\rz\r\n\r\n', 400],
  ['an empty header name is refused', 'GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n', 400],
  ['an unknown method is refused', 'FOO / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a control byte in the target is refused', 'GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['two Host fields are refused', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
  ['HTTP/1.0 with chunks is refused', 'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
  ['an https target on a cleartext listener is refused', 'GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
];

for (const [name, bytes, status] of refused) {
  test(name, async () => {
    const { answer, log, seen } = await refusedRequest(bytes);
    assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `));
    assert.match(answer, /\r\nconnection: close\r\n/);
    assert.match(log, new RegExp(`^${status} DPE http1\\.`, 'm'));
    assert.equal(seen, 0);
  });
}

test('a head that comes too slowly is answered with 408, request_header_timeout; a connection without a request may wait', async () => {
  await using origin = await startOrigin((_request, response) => response.end('ok'));
  await using proxy = createDataPlaneFixture();
  await proxy.apply(
    simpleConfig({ hosts: [origin.port], http: { requestHeadersTimeoutMs: 60, delayedCloseTimeoutMs: 20 } }),
  );
  const idle = connect(proxy.port(), '127.0.0.1');
  const slow = connect(proxy.port(), '127.0.0.1');
  slow.write('GET / HTTP/1.1\r\nhost: a\r\nx-slow: ');
  const drip = setInterval(() => slow.write('a'), 10);
  let answer = '';
  slow.on('data', (chunk) => (answer += String(chunk)));
  slow.on('error', () => {});
  await new Promise<void>((resolve) => slow.on('end', resolve));
  clearInterval(drip);
  slow.destroy();
  assert.match(answer, /^HTTP\/1\.1 408 Request Timeout\r\n/);
  // Silent for longer than the other, and served all the same.
  idle.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
  let served = '';
  idle.on('data', (chunk) => (served += String(chunk)));
  await new Promise<void>((resolve) => idle.on('close', () => resolve()));
  assert.match(served, /^HTTP\/1\.1 200 /);
});

test('PROXY-24 HTTP/1.0 is answered with 426, and with accept_http_10 with 200 and no chunks', async () => {
  const refusal = await refusedRequest('GET / HTTP/1.0\r\nHost: a\r\n\r\n');
  assert.match(refusal.answer, /^HTTP\/1\.1 426 /);
  assert.match(refusal.log, /low_version/);
  await using origin = await startOrigin((_request, response) => {
    response.write('in ');
    response.end('pieces');
  });
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [origin.port], http: { acceptHttp10: true, delayedCloseTimeoutMs: 20 } }));
  const answer = await exchangeRaw(proxy.port(), 'GET / HTTP/1.0\r\nHost: a\r\n\r\n');
  assert.match(answer, /^HTTP\/1\.1 200 /);
  assert.doesNotMatch(answer, /transfer-encoding/);
  assert.match(answer, /\r\n\r\nin pieces$/);
});

test('PROXY-25 61 KiB of headers, and 101 headers, are answered with 431', async () => {
  const large = await refusedRequest(`GET / HTTP/1.1\r\nHost: a\r\nx: ${'y'.repeat(61 * 1024)}\r\n\r\n`);
  assert.match(large.answer, /^HTTP\/1\.1 431 /);
  const fields = Array.from({ length: 101 }, (_, index) => `x-${index}: y\r\n`).join('');
  const many = await refusedRequest(`GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`);
  assert.match(many.answer, /^HTTP\/1\.1 431 /);
});

test('PROXY-26 three pipelined requests are answered in their order', async () => {
  await withEcho(
    async (proxy) => {
      const get = (path: string, last = false): string =>
        `GET ${path} HTTP/1.1\r\nHost: a\r\n${last ? 'connection: close\r\n' : ''}\r\n`;
      const answer = await exchangeRaw(proxy.port(), get('/1') + get('/2') + get('/3', true));
      assert.deepEqual(
        Array.from(answer.matchAll(/\r\n\r\n(?:\d\r\n)?(\/\d)/g), ([, path]) => path),
        ['/1', '/2', '/3'],
      );
    },
    { http: { delayedCloseTimeoutMs: 20 } },
  );
});

test('PROXY-27 an expectation is met with 100 Continue before the body is read, and goes no further', async () => {
  await withEcho(async (proxy, { heads }) => {
    const socket = connect(proxy.port(), '127.0.0.1');
    socket.write('POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n');
    const [first] = (await once(socket, 'data')) as [Buffer];
    assert.equal(first.toString(), 'HTTP/1.1 100 Continue\r\n\r\n');
    socket.write('hello');
    const [second] = (await once(socket, 'data')) as [Buffer];
    assert.match(second.toString(), /^HTTP\/1\.1 200 OK/);
    assert.doesNotMatch(heads.join(), /^expect:/im);
    socket.destroy();
  });
});

test('PROXY-28 a HEAD response keeps its Content-Length, has no body, and leaves the connection usable', async () => {
  await using origin = await startOrigin((request, response) => {
    response.setHeader('content-length', '10');
    response.end(request.method === 'HEAD' ? undefined : '0123456789');
  });
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [origin.port], http: { delayedCloseTimeoutMs: 20 } }));
  const answer = await exchangeRaw(
    proxy.port(),
    'HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nconnection: close\r\n\r\n',
  );
  const [head = '', get = '', body = ''] = answer.split('\r\n\r\n');
  assert.match(head, /content-length: 10/);
  assert.match(get, /^HTTP\/1\.1 200 /);
  assert.equal(body, '0123456789');
  assert.equal(proxy.stat('cluster.backend.upstream_cx_total'), 1);
});

test('PROXY-29 an upstream that closes in the middle of a body resets the client and logs UC', async () => {
  await using origin = await startTcpServer((socket) => {
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n'));
  });
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [origin.port], http: { accessLogs: [accessLog(LOG_FORMAT)] } }));
  const socket = connect(proxy.port(), '127.0.0.1');
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString();
  });
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNRESET');
  assert.doesNotMatch(text, /0\r\n\r\n$/);
  assert.match(proxy.logLines.join(''), /^200 UC /);
});

test('PROXY-30 a WebSocket upgrade carries bytes both ways where it is allowed, and gets 403 where not', async () => {
  await using origin = await startTcpServer((socket) => {
    socket.once('data', (head) => {
      assert.match(head.toString(), /upgrade: websocket/i);
      assert.match(head.toString(), /connection: upgrade/i);
      socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n');
      socket.on('data', (chunk) => socket.write(chunk.toString().toUpperCase()));
      socket.on('end', () => socket.end());
    });
  });
  await using proxy = createDataPlaneFixture();
  const upgrade = 'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
  await proxy.apply(simpleConfig({ hosts: [origin.port], http: { upgrades: [{ type: 'websocket', enabled: true }] } }));
  const socket = connect({ port: proxy.port(), host: '127.0.0.1', allowHalfOpen: true });
  // Bytes sent before the answer must not be lost either.
  socket.write(`${upgrade}early `);
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString();
  });
  await eventually(() => text.endsWith('EARLY '));
  assert.match(text, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
  socket.write('and later');
  await eventually(() => text.endsWith('AND LATER'));
  assert.equal(proxy.stat('http.test.downstream_cx_upgrades_active'), 1);
  socket.end();
  await once(socket, 'close');
  await eventually(() => proxy.stat('http.test.downstream_cx_upgrades_active') === 0);

  const refusal = await refusedRequest(
    upgrade.replace('Host: a', 'Host: a\r\nx: y').replace('Upgrade\r\n', 'upgrade, close\r\n'),
  );
  assert.match(refusal.answer, /^HTTP\/1\.1 403 /);
});

test('a refused upgrade is counted and ends the connection: nobody knows what the client sends next', async () => {
  await withEcho(
    async (proxy) => {
      const answer = await exchangeRaw(
        proxy.port(),
        'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\nconnection: close\r\n\r\n',
      );
      assert.match(answer, /^HTTP\/1\.1 403 [\s\S]*connection: close/);
      assert.doesNotMatch(answer, /200 OK/);
      assert.equal(proxy.stat('http.test.downstream_rq_ws_on_non_ws_route'), 1);
    },
    { http: { delayedCloseTimeoutMs: 20 } },
  );
});

test('PROXY-31 a header that Connection names is not forwarded', async () => {
  await withEcho(async (proxy, { heads }) => {
    await fetchHttp(proxy.port(), { headers: { connection: 'close, x-secret', 'x-secret': '1', 'x-open': '2' } });
    assert.doesNotMatch(heads.join(), /x-secret/);
    assert.match(heads.join(), /x-open: 2/);
  });
});

test('PROXY-32 an absolute target names host and path, whatever Host says', async () => {
  await withEcho(
    async (proxy, { heads }) => {
      await exchangeRaw(proxy.port(), 'GET http://b/x HTTP/1.1\r\nHost: a\r\nconnection: close\r\n\r\n');
      assert.match(heads.join(), /^GET \/x\n(.*\n)*host: b$/im);
    },
    { http: { delayedCloseTimeoutMs: 20 } },
  );
});

test('a chunked request body arrives whole, and a chunked response leaves whole', async () => {
  await using origin = await startOrigin((request, response) => {
    request.pipe(response);
  });
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [origin.port], http: { delayedCloseTimeoutMs: 20 } }));
  const answer = await exchangeRaw(
    proxy.port(),
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nconnection: close\r\n\r\n5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nx-trailer: 1\r\n\r\n',
  );
  const body = answer.slice(answer.indexOf('\r\n\r\n') + 4);
  assert.equal(body.replaceAll(/[0-9a-f]+\r\n([^\r]*)\r\n/g, '$1').trim(), 'hello world');
});

test('a large body goes through a slow reader without being held in memory', async () => {
  const size = 16 * 1024 * 1024;
  await using origin = await startOrigin((_request, response) => {
    response.setHeader('content-length', String(size));
    response.end(Buffer.alloc(size, 'x'));
  });
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [origin.port] }));
  const socket = connect(proxy.port(), '127.0.0.1');
  socket.write('GET / HTTP/1.1\r\nHost: a\r\nconnection: close\r\n\r\n');
  socket.pause();
  await eventually(() => proxy.stat('cluster.backend.upstream_rq_200') === 1);
  let received = 0;
  socket.on('data', (chunk) => {
    received += chunk.length;
  });
  socket.resume();
  await once(socket, 'close');
  assert.ok(received > size, `${received} bytes`);
});

test('a response that breaks HTTP is answered with 502, UPE', async () => {
  await using origin = await startTcpServer((socket) => {
    socket.once('data', () =>
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n'),
    );
  });
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [origin.port], http: { accessLogs: [accessLog(LOG_FORMAT)] } }));
  const { status, body } = await fetchHttp(proxy.port());
  assert.equal(status, 502);
  assert.match(body, /protocol error/);
  assert.match(proxy.logLines.join(''), /^502 UPE /);
});

test('bytes after a complete response never answer the next request', async () => {
  let connections = 0;
  await using origin = await startTcpServer((socket) => {
    connections += 1;
    socket.on('data', () => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngoodHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil');
    });
  });
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [origin.port] }));
  assert.equal((await fetchHttp(proxy.port())).body, 'good');
  assert.equal((await fetchHttp(proxy.port())).body, 'good');
  assert.equal(connections, 2);
});

test('a drain lets the request in flight finish, with connection: close, and takes no new connection', async () => {
  let finish: (() => void) | undefined;
  await using origin = await startOrigin((_request, response) => {
    finish = () => void response.end('done');
  });
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [origin.port] }));
  const port = proxy.port();
  const answer = exchangeRaw(port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await eventually(() => finish !== undefined);
  proxy.plane.drain('all', true);
  finish?.();
  assert.match(await answer, /\r\nconnection: close\r\n[\s\S]*done/);
  await eventually(() => proxy.plane.connectionCount('all') === 0);
  await assert.rejects(fetchHttp(port));
});

test('a drain answers the request that is already on its way over an idle connection, as its last', async () => {
  await using origin = await startOrigin((_request, response) => void response.end('served'));
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [origin.port] }));
  const socket = connect(proxy.port(), '127.0.0.1');
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk) => (text += String(chunk)));
  const request = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
  socket.write(request);
  await eventually(() => text.endsWith('served'));
  assert.doesNotMatch(text, /connection: close/);
  proxy.plane.drain('all', false);
  text = '';
  socket.write(request);
  await once(socket, 'end');
  assert.match(text, /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\nconnection: close\r\n[\s\S]*served$/);
});

test('of a replaced inbound chain the request that is on its way is answered, as its last; another chain ends at once', async () => {
  await using origin = await startOrigin((_request, response) => void response.end('served'));
  const request = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
  for (const trafficDirection of ['inbound', 'outbound'] as const) {
    await using proxy = createDataPlaneFixture();
    const config = { hosts: [origin.port], listener: { trafficDirection } };
    await proxy.apply(simpleConfig(config));
    const socket = connect(proxy.port(), '127.0.0.1');
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk) => (text += String(chunk)));
    socket.write(request);
    await eventually(() => text.endsWith('served'));
    text = '';
    await proxy.apply(simpleConfig({ ...config, http: { via: 'other' } }));
    if (trafficDirection === 'inbound') socket.write(request);
    await once(socket, 'end');
    const expected = trafficDirection === 'inbound' ? /\r\nconnection: close\r\n[\s\S]*served$/ : /^$/;
    assert.match(text, expected);
  }
});

test('a drain closes a connection that stays idle', async () => {
  await using origin = await startOrigin((_request, response) => void response.end('served'));
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [origin.port] }));
  const socket = connect(proxy.port(), '127.0.0.1').resume();
  await once(socket, 'connect');
  await eventually(() => proxy.plane.connectionCount('all') === 1);
  proxy.plane.drain('all', false);
  await once(socket, 'end');
});

test('a redirect and a direct response are answered here', async () => {
  await using proxy = createDataPlaneFixture();
  const redirect = {
    kind: 'redirect',
    status: 301,
    httpsRedirect: true,
    schemeRedirect: undefined,
    hostRedirect: undefined,
    portRedirect: undefined,
    pathRedirect: undefined,
    prefixRewrite: undefined,
    regexRewrite: undefined,
    stripQuery: false,
  } as const;
  await proxy.apply(
    simpleConfig({
      hosts: [],
      routes: [
        routeFixture({
          match: {
            path: { kind: 'path', value: '/direct', caseSensitive: true },
            headers: [],
            queryParameters: [],
            fraction: undefined,
            grpc: false,
          },
          action: { kind: 'direct_response', status: 418, body: 'teapot' },
        }),
        routeFixture({ action: redirect }),
      ],
    }),
  );
  const direct = await fetchHttp(proxy.port(), { path: '/direct' });
  assert.deepEqual([direct.status, direct.body], [418, 'teapot']);
  const moved = await fetchHttp(proxy.port(), { path: '/x?y=1', headers: { host: 'h:80' } });
  assert.deepEqual([moved.status, moved.headers.location], [301, 'https://h/x?y=1']);
});
