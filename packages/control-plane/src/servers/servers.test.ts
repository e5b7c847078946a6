import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'node:test';
import { silentLog } from '@meltemi/base';
import { textAnswer } from './http-listener.ts';
import { startHttpServer } from './http-server.ts';
import { parseListenAddress } from './listen-address.ts';

function get(options: { readonly port: number; readonly path: string; readonly method?: string }): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', agent: false, ...options }, (answer) => {
      answer.resume().on('end', () => resolve(answer.statusCode ?? 0));
    });
    call.on('error', reject).end();
  });
}

test('parseListenAddress reads ports, hosts and IPv6 addresses', () => {
  assert.deepEqual(parseListenAddress(':15012', 'x'), { host: '0.0.0.0', port: 15012 });
  assert.deepEqual(parseListenAddress('127.0.0.1:0', 'x'), { host: '127.0.0.1', port: 0 });
  assert.deepEqual(parseListenAddress('[::1]:80', 'x'), { host: '::1', port: 80 });
  for (const text of ['15012', ':99999', '::1:80', '']) {
    assert.throws(() => parseListenAddress(text, 'http-addr'), /Cannot use --http-addr/);
  }
});

test('the HTTP server serves known pages by GET, and its failures do not end it', async () => {
  await using server = await startHttpServer({
    address: { host: '127.0.0.1', port: 0 },
    pages: new Map([
      ['/ready', () => textAnswer('')],
      [
        '/debug/broken',
        () => {
          throw new Error('broken');
        },
      ],
    ]),
    log: silentLog,
  });
  const { port } = server;
  assert.equal(await get({ port, path: '/ready?x=y' }), 200);
  assert.equal(await get({ port, path: '/other' }), 404);
  assert.equal(await get({ port, path: '/ready', method: 'POST' }), 405);
  assert.equal(await get({ port, path: '/debug/broken' }), 500);
  assert.equal(await get({ port, path: '/ready' }), 200);
});

test('everything below a folder is its own, and paths are compared as they were sent', async () => {
  await using server = await startHttpServer({
    address: { host: '127.0.0.1', port: 0 },
    pages: new Map([['/ready', () => textAnswer('')]]),
    folders: new Map([
      ['/debug', async ({ path, query }) => textAnswer('', path === '/a' && query.has('b') ? 200 : 404)],
    ]),
    log: silentLog,
  });
  const { port } = server;
  assert.equal(await get({ port, path: '/debug/a?b' }), 200);
  assert.equal(await get({ port, path: '/debug' }), 404);
  assert.equal(await get({ port, path: '/debugger' }), 404);
  assert.equal(await get({ port, path: '*' }), 400);
  assert.equal(await get({ port, path: '/ready/../debug/a?b' }), 404);
});

test('two servers on one port: the second says what is wrong', async () => {
  const options = { pages: new Map(), log: silentLog };
  await using first = await startHttpServer({ ...options, address: { host: '127.0.0.1', port: 0 } });
  await assert.rejects(
    startHttpServer({ ...options, address: { host: '127.0.0.1', port: first.port } }),
    /Cannot listen on 127\.0\.0\.1:\d+; another process uses it/,
  );
});
