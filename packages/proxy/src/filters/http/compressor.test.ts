import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, zstdDecompress } from 'node:zlib';
import { fromJson } from '@bufbuild/protobuf';
import { HttpFilterSchema } from '@meltemi/xds/types/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { typeRegistry } from '../../bootstrap/type-registry.ts';
import { compileHttpFilters } from '../../compile/http-filters.ts';
import type { RuntimeHttpFilter } from '../../config/runtime-config.ts';
import { chooseContentEncoding } from '../../decide/content-encoding.ts';
import {
  createDataPlaneFixture,
  type DataPlaneFixture,
  simpleConfig,
  startOrigin,
} from '../../testing/data-plane-fixture.ts';

const DECODERS: Readonly<Record<string, (bytes: Buffer) => Promise<Buffer>>> = {
  br: promisify(brotliDecompress),
  gzip: promisify(gunzip),
  zstd: promisify(zstdDecompress),
};

const TYPES = 'type.googleapis.com/envoy.extensions';

const compressorJson = (library: string, more: object = {}) => ({
  name: library,
  typed_config: {
    '@type': `${TYPES}.filters.http.compressor.v3.Compressor`,
    compressor_library: {
      name: library,
      typed_config: { '@type': `${TYPES}.compression.${library.toLowerCase()}.compressor.v3.${library}` },
    },
    ...more,
  },
});

const routerJson = {
  name: 'router',
  typed_config: { '@type': `${TYPES}.filters.http.router.v3.Router` },
};

function compile(filters: readonly object[]): RuntimeHttpFilter[] {
  const messages = [...filters, routerJson].map((filter) =>
    fromJson(HttpFilterSchema, JSON.parse(JSON.stringify(filter)), { registry: typeRegistry }),
  );
  return compileHttpFilters(messages, { reporter: 'source' });
}

const ALL = [compressorJson('Brotli'), compressorJson('Gzip'), compressorJson('Zstd')];

async function call(
  proxy: DataPlaneFixture,
  headers: Readonly<Record<string, string>>,
  method = 'GET',
): Promise<{ readonly headers: IncomingMessage['headers']; readonly body: Buffer }> {
  const outgoing = request({ host: '127.0.0.1', port: proxy.port(), path: '/', method, headers, agent: false });
  const [incoming] = (await once(outgoing.end(), 'response')) as [IncomingMessage];
  return { headers: incoming.headers, body: await buffer(incoming) };
}

test('the client chooses the encoding: by quality, then by its own order', () => {
  const table: readonly [accept: string | undefined, expected: string | undefined][] = [
    [undefined, undefined],
    ['', undefined],
    ['deflate', undefined],
    ['gzip', 'gzip'],
    ['gzip, br', 'gzip'],
    ['br, gzip', 'br'],
    ['gzip;q=0.5, zstd;q=0.8, br;q=0.1', 'zstd'],
    ['GZIP;q=0', undefined],
    ['*', 'br'],
    ['br;q=0, *', 'gzip'],
    ['identity, gzip;q=0.5', undefined],
    ['identity;q=0.5, gzip', 'gzip'],
  ];
  for (const [accept, expected] of table) {
    assert.equal(chooseContentEncoding(accept, ['br', 'gzip', 'zstd']), expected, accept);
  }
});

test('responses are compressed as the client asks, whole and in pieces, and are the same when they are unpacked', async () => {
  const text = 'a line of metrics that compresses well\n'.repeat(200_000);
  await using origin = await startOrigin((incoming, response) => {
    response.setHeader('content-type', 'text/plain; charset=UTF-8');
    // Written in two parts, a body has no length in its head.
    const half = incoming.headers['x-pieces'] === undefined ? 0 : text.length / 2;
    if (half > 0) response.write(text.slice(0, half));
    response.end(text.slice(half));
  });
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [origin.port], http: { httpFilters: compile(ALL) } }));
  for (const [encoding, decode] of Object.entries(DECODERS)) {
    for (const more of [{}, { 'x-pieces': '1' }]) {
      const { headers, body } = await call(proxy, { 'accept-encoding': encoding, ...more });
      assert.equal(headers['content-encoding'], encoding);
      assert.equal(headers['content-length'], undefined);
      assert.equal(headers.vary, 'Accept-Encoding');
      assert.ok(body.length < text.length / 50, `${encoding}: ${body.length} bytes`);
      assert.equal((await decode(body)).toString(), text);
    }
  }
  const plain = await call(proxy, {});
  assert.deepEqual([plain.headers['content-encoding'], plain.headers.vary], [undefined, 'Accept-Encoding']);
  assert.equal(plain.body.toString(), text);
});

test('a piece of a response reaches the client before the next one is there', async () => {
  const next = Promise.withResolvers<void>();
  await using origin = await startOrigin(async (_incoming, response) => {
    response.setHeader('content-type', 'text/plain');
    response.write('first piece, long enough to be compressed');
    await next.promise;
    response.end('second piece');
  });
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [origin.port], http: { httpFilters: compile(ALL) } }));
  const headers = { 'accept-encoding': 'gzip' };
  const outgoing = request({ host: '127.0.0.1', port: proxy.port(), path: '/', headers, agent: false });
  const [incoming] = (await once(outgoing.end(), 'response')) as [IncomingMessage];
  const [first] = (await once(incoming, 'data')) as [Buffer];
  next.resolve();
  const whole = Buffer.concat([first, await buffer(incoming)]);
  assert.match((await promisify(gunzip)(whole)).toString(), /^first piece.*second piece$/);
});

test('what is short, encoded, of another kind or not to be changed goes as it is', async () => {
  const body = 'x'.repeat(100);
  const table: readonly (readonly [headers: Readonly<Record<string, string>>, body?: string])[] = [
    [{ 'content-type': 'text/plain', 'content-length': '10' }, 'x'.repeat(10)],
    [{ 'content-type': 'image/png' }],
    [{ 'content-type': 'text/plain', 'content-encoding': 'deflate' }],
    [{ 'content-type': 'text/plain', 'cache-control': 'private, no-transform' }],
    [{ 'content-type': 'text/plain', etag: '"strong"' }],
  ];
  let served = table[0];
  await using origin = await startOrigin((_incoming, response) => {
    response.writeHead(200, served?.[0]);
    response.end(served?.[1] ?? body);
  });
  await using proxy = createDataPlaneFixture();
  const filters = compile([compressorJson('Gzip', { response_direction_config: { disable_on_etag_header: true } })]);
  await proxy.apply(simpleConfig({ hosts: [origin.port], http: { httpFilters: filters } }));
  for (const row of table) {
    served = row;
    const answer = await call(proxy, { 'accept-encoding': 'gzip' });
    assert.equal(answer.body.toString(), row[1] ?? body, JSON.stringify(row[0]));
    assert.equal(answer.headers.vary, undefined);
  }
  served = [{ 'content-type': 'text/plain' }];
  assert.equal((await call(proxy, { 'accept-encoding': 'gzip' }, 'HEAD')).headers['content-encoding'], undefined);
  assert.equal((await call(proxy, { 'accept-encoding': 'gzip' })).headers['content-encoding'], 'gzip');
});

test('a client that goes away in the middle ends the request upstream', async () => {
  const closed = Promise.withResolvers<void>();
  await using origin = await startOrigin((_incoming, response) => {
    response.setHeader('content-type', 'text/plain');
    response.write('x'.repeat(10_000));
    response.on('close', () => closed.resolve());
  });
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [origin.port], http: { httpFilters: compile(ALL) } }));
  const headers = { 'accept-encoding': 'zstd' };
  const outgoing = request({ host: '127.0.0.1', port: proxy.port(), path: '/', headers, agent: false });
  const [incoming] = (await once(outgoing.end(), 'response')) as [IncomingMessage];
  incoming.destroy();
  await closed.promise;
});

test('settings that would have no effect are refused by name', () => {
  const table: readonly [more: object, expected: RegExp][] = [
    [{ request_direction_config: {} }, /request_direction_config is not supported/],
    [{ choose_first: true }, /choose_first is not supported/],
    [{ runtime_enabled: { default_value: false } }, /enabled is not supported/],
    [{ compressor_library: undefined }, /compressor_library: typed_config is required/],
  ];
  for (const [more, expected] of table) assert.throws(() => compile([compressorJson('Gzip', more)]), expected);
  const library = { '@type': `${TYPES}.compression.gzip.compressor.v3.Gzip`, window_bits: 9 };
  const tuned = compressorJson('Gzip', { compressor_library: { name: 'a', typed_config: library } });
  assert.throws(() => compile([tuned]), /settings of the library are not supported/);
});
