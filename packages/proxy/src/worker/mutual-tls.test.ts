import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { after, before, test } from 'node:test';
import { type ConnectionOptions, connect, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import type {
  RuntimeDownstreamTls,
  RuntimeHttpConnectionManager,
  RuntimeSanMatcher,
  RuntimeSecret,
  RuntimeUpstreamTls,
} from '../config/runtime-config.ts';
import { type AuthorityFixture, createAuthorityFixture, type KeyPair } from '../testing/authority-fixture.ts';
import {
  createDataPlaneFixture,
  type DataPlaneFixture,
  eventually,
  fetchHttp,
  simpleConfig,
  startOrigin,
} from '../testing/data-plane-fixture.ts';
import { ANY_CONNECTION, filterChainFixture, httpFixture } from '../testing/runtime-resources.ts';

const CLIENT = 'spiffe://cluster.local/ns/app1/sa/client';
const SERVER = 'spiffe://cluster.local/ns/app1/sa/server';

let authority: AuthorityFixture;
let foreign: AuthorityFixture;
let server: KeyPair;
let client: KeyPair;

before(() => {
  authority = createAuthorityFixture('mesh');
  foreign = createAuthorityFixture('foreign');
  server = authority.issue([`URI:${SERVER}`]);
  client = authority.issue([`URI:${CLIENT}`]);
});

after(() => {
  authority[Symbol.dispose]();
  foreign[Symbol.dispose]();
});

function uri(value: string): RuntimeSanMatcher {
  return { type: 'uri', matcher: { kind: 'exact', value, ignoreCase: false } };
}

function secrets(pair: KeyPair, trusted: string): readonly RuntimeSecret[] {
  return [
    { kind: 'certificate', name: 'default', certificateChainPem: pair.certificate, privateKeyPem: pair.key },
    { kind: 'trust', name: 'ROOTCA', trustedCaPem: trusted, crlPems: [], sanMatchers: [] },
  ];
}

function downstreamTls(sanMatchers: readonly RuntimeSanMatcher[] = []): RuntimeDownstreamTls {
  return {
    certificateSecretNames: ['default'],
    validation: { secretName: 'ROOTCA', sanMatchers },
    requireClientCertificate: true,
    alpn: ['h2', 'http/1.1'],
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: [],
  };
}

/** A listener that speaks nothing but mutual TLS. */
async function startStrict(
  origin: number,
  options: {
    readonly sanMatchers?: readonly RuntimeSanMatcher[];
    readonly http?: Partial<RuntimeHttpConnectionManager>;
    readonly handshakeTimeoutMs?: number;
  } = {},
): Promise<DataPlaneFixture> {
  const proxy = createDataPlaneFixture();
  await proxy.apply({
    secrets: { remove: [], upsert: secrets(server, authority.certificate) },
    ...simpleConfig({
      hosts: [origin],
      chain: {
        name: 'strict',
        match: { ...ANY_CONNECTION, transportProtocol: 'tls' },
        tls: downstreamTls(options.sanMatchers),
        filters: [httpFixture(options.http)],
        transportSocketConnectTimeoutMs: options.handshakeTimeoutMs ?? 0,
      },
      listener: {
        listenerFilters: {
          originalDst: false,
          originalSrc: undefined,
          tlsInspector: { disabled: undefined },
          httpInspector: undefined,
          timeoutMs: 1000,
          continueOnTimeout: true,
        },
      },
    }),
  });
  return proxy;
}

function dial(proxy: DataPlaneFixture, options: ConnectionOptions = {}): TLSSocket {
  const socket = connect({
    port: proxy.port(),
    host: '127.0.0.1',
    ca: authority.certificate,
    checkServerIdentity: () => undefined,
    cert: client.certificate,
    key: client.key,
    ...options,
  });
  socket.on('error', () => {});
  return socket;
}

/** Asks over TLS; resolves with all bytes until the connection is over. */
async function ask(socket: TLSSocket): Promise<string> {
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString();
  });
  socket.write('GET / HTTP/1.1\r\nHost: a\r\nconnection: close\r\n\r\n');
  if (!socket.destroyed) await new Promise((resolve) => socket.once('close', resolve));
  return text;
}

const fastClose = { delayedCloseTimeoutMs: 20 };

test('a client of the mesh is served, and the negotiated protocol is one that we speak', async () => {
  await using origin = await startOrigin((_request, response) => response.end('ok'));
  await using proxy = await startStrict(origin.port, { http: fastClose });
  const socket = dial(proxy, { ALPNProtocols: ['h2', 'http/1.1'] });
  assert.match(await ask(socket), /^HTTP\/1\.1 200 OK/);
  assert.equal(socket.alpnProtocol, 'http/1.1');
  assert.equal(proxy.stat('listener.127.0.0.1_0.ssl.handshake'), 1);
});

test('a client whose protocols we share none of is served without ALPN', async () => {
  await using origin = await startOrigin((_request, response) => response.end('ok'));
  await using proxy = await startStrict(origin.port, { http: fastClose });
  const socket = dial(proxy, { ALPNProtocols: ['istio', 'other'] });
  assert.match(await ask(socket), /^HTTP\/1\.1 200 OK/);
  assert.equal(socket.alpnProtocol, false);
});

test('PROXY-14 no client certificate fails with fail_verify_no_cert, a wrong name with fail_verify_san', async () => {
  let seen = 0;
  await using origin = await startOrigin((_request, response) => {
    seen += 1;
    response.end();
  });
  await using proxy = await startStrict(origin.port, { sanMatchers: [uri('spiffe://cluster.local/ns/app1/sa/other')] });
  assert.equal(await ask(dial(proxy, { cert: undefined, key: undefined })), '');
  await eventually(() => proxy.stat('listener.127.0.0.1_0.ssl.fail_verify_no_cert') === 1);
  assert.equal(await ask(dial(proxy)), '');
  await eventually(() => proxy.stat('listener.127.0.0.1_0.ssl.fail_verify_san') === 1);
  assert.equal(seen, 0);
});

test('a certificate of a foreign authority with the right SPIFFE name is refused', async () => {
  let seen = 0;
  await using origin = await startOrigin((_request, response) => {
    seen += 1;
    response.end();
  });
  await using proxy = await startStrict(origin.port, { sanMatchers: [uri(CLIENT)] });
  const impostor = foreign.issue([`URI:${CLIENT}`]);
  assert.equal(await ask(dial(proxy, { cert: impostor.certificate, key: impostor.key })), '');
  await eventually(() => proxy.stat('listener.127.0.0.1_0.ssl.fail_verify_error') === 1);
  assert.equal(seen, 0);
});

for (const [what, names] of [
  ['two SPIFFE names', [`URI:${CLIENT}`, 'URI:spiffe://cluster.local/ns/app1/sa/admin']],
  ['no SPIFFE name', ['DNS:client.example']],
] as const) {
  test(`a trusted certificate with ${what} is refused`, async () => {
    await using origin = await startOrigin((_request, response) => response.end());
    await using proxy = await startStrict(origin.port);
    const pair = authority.issue(names);
    assert.equal(await ask(dial(proxy, { cert: pair.certificate, key: pair.key })), '');
    await eventually(() => proxy.stat('listener.127.0.0.1_0.ssl.fail_verify_san') === 1);
  });
}

test('a session is resumed while trust is the same, and its client refused when trust has changed', async () => {
  let seen = 0;
  await using origin = await startOrigin((_request, response) => {
    seen += 1;
    response.end('ok');
  });
  await using proxy = await startStrict(origin.port, { http: fastClose });
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    seen = 0;
    await proxy.apply({ secrets: { remove: [], upsert: secrets(server, authority.certificate) } });
    const first = dial(proxy, { maxVersion });
    let session: Buffer | undefined;
    first.on('session', (bytes) => {
      session = bytes;
    });
    await ask(first);
    assert.ok(session, 'a session was offered');
    const again = dial(proxy, { maxVersion, session });
    let isReused = false;
    again.once('secureConnect', () => {
      isReused = again.isSessionReused();
    });
    assert.match(await ask(again), /200 OK/);
    assert.equal(isReused, true);
    assert.equal(seen, 2);

    // The client's authority is trusted no longer; our own certificate stays.
    await proxy.apply({ secrets: { remove: [], upsert: secrets(server, foreign.certificate) } });
    const refused = dial(proxy, { maxVersion, session });
    assert.equal(await ask(refused), '');
    assert.equal(seen, 2);
  }
  await eventually(() => proxy.stat('listener.127.0.0.1_0.ssl.fail_verify_error') === 2);
});

test('plaintext to a chain that takes TLS only is reset', async () => {
  await using origin = await startOrigin((_request, response) => response.end());
  await using proxy = await startStrict(origin.port);
  const socket = connectTcp(proxy.port(), '127.0.0.1');
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNRESET');
  assert.equal(proxy.stat('listener.127.0.0.1_0.no_filter_chain_match'), 1);
});

test('half a ClientHello does not hold a connection for ever', async () => {
  await using origin = await startOrigin((_request, response) => response.end());
  await using proxy = await startStrict(origin.port, { handshakeTimeoutMs: 100 });
  const capture = await captureClientHello();
  const socket = connectTcp(proxy.port(), '127.0.0.1');
  socket.on('error', () => {});
  // The hello is whole, and nothing follows it.
  socket.write(capture);
  socket.resume();
  await new Promise((resolve) => socket.once('close', resolve));
  assert.equal(proxy.stat('listener.127.0.0.1_0.downstream_cx_transport_socket_connect_timeout'), 1);
});

async function captureClientHello(): Promise<Buffer> {
  const { createServer } = await import('node:net');
  const catcher = createServer();
  await new Promise<void>((resolve) => catcher.listen(0, '127.0.0.1', resolve));
  const address = catcher.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  socket.on('error', () => {});
  const [accepted] = await once(catcher, 'connection');
  const [hello] = (await once(accepted, 'data')) as [Buffer];
  accepted.destroy();
  socket.destroy();
  catcher.close();
  return hello;
}

test('a ClientHello in small pieces is understood', async () => {
  await using origin = await startOrigin((_request, response) => response.end('ok'));
  await using proxy = await startStrict(origin.port, { http: fastClose });
  const raw = connectTcp(proxy.port(), '127.0.0.1');
  raw.setNoDelay(true);
  await once(raw, 'connect');
  // Every write of the TLS client leaves in pieces of 37 bytes, a turn apart.
  const { Duplex } = await import('node:stream');
  const sliced = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      void (async () => {
        for (let at = 0; at < chunk.length; at += 37) {
          raw.write(chunk.subarray(at, at + 37));
          await new Promise((resolve) => setImmediate(resolve));
        }
        done();
      })();
    },
    final(done) {
      raw.end();
      done();
    },
  });
  raw.on('data', (chunk) => sliced.push(chunk));
  raw.on('end', () => sliced.push(null));
  const socket = connect({
    socket: sliced,
    ca: authority.certificate,
    checkServerIdentity: () => undefined,
    cert: client.certificate,
    key: client.key,
  });
  socket.on('error', () => {});
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
  });
  socket.write('GET / HTTP/1.1\r\nHost: a\r\nconnection: close\r\n\r\n');
  await eventually(() => text.includes('200 OK'));
  socket.destroy();
  raw.destroy();
});

test('PROXY-43 append_forward adds an element with By, Hash, Subject and URI behind the received ones', async () => {
  let seen = '';
  await using origin = await startOrigin((request, response) => {
    seen = String(request.headers['x-forwarded-client-cert']);
    response.end();
  });
  await using proxy = await startStrict(origin.port, {
    http: {
      ...fastClose,
      forwardClientCert: 'append_forward',
      xfccDetails: { subject: true, cert: false, chain: false, dns: false, uri: true },
    },
  });
  const socket = dial(proxy);
  socket.write('GET / HTTP/1.1\r\nHost: a\r\nx-forwarded-client-cert: By=x;Hash=y\r\nconnection: close\r\n\r\n');
  socket.resume();
  await new Promise((resolve) => socket.once('close', resolve));
  assert.match(seen, new RegExp(`^By=x;Hash=y,By=${SERVER};Hash=[0-9a-f]{64};Subject="O=leaf";URI=${CLIENT}$`));
});

test('a rotated certificate serves new connections; the old connection goes on', async () => {
  await using origin = await startOrigin((_request, response) => response.end('ok'));
  await using proxy = await startStrict(origin.port);
  const old = dial(proxy);
  await once(old, 'secureConnect');
  const before = old.getPeerX509Certificate()?.serialNumber;
  const rotated = authority.issue([`URI:${SERVER}`]);
  await proxy.apply({ secrets: { remove: [], upsert: secrets(rotated, authority.certificate) } });
  const fresh = dial(proxy);
  await once(fresh, 'secureConnect');
  assert.notEqual(fresh.getPeerX509Certificate()?.serialNumber, before);
  old.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  const [chunk] = (await once(old, 'data')) as [Buffer];
  assert.match(chunk.toString(), /200 OK/);
  old.destroy();
  fresh.destroy();
});

function upstreamTls(sanMatchers: readonly RuntimeSanMatcher[]): RuntimeUpstreamTls {
  return {
    certificateSecretNames: ['default'],
    validation: { secretName: 'ROOTCA', sanMatchers },
    alpn: ['istio-peer-exchange', 'istio'],
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: [],
    sni: 'outbound_.80_._.backend.app1.svc.cluster.local',
    autoHostSni: false,
    autoSni: false,
    autoSanValidation: false,
    maxSessionKeys: 0,
  };
}

async function startTlsOrigin(pair: KeyPair) {
  const seen: { sni?: string; alpn?: string; peer?: string } = {};
  const sockets = new Set<TLSSocket>();
  const origin = createTlsServer(
    {
      cert: pair.certificate,
      key: pair.key,
      ca: authority.certificate,
      requestCert: true,
      ALPNProtocols: ['istio-http/1.1'],
    },
    (socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      // Missing from Node's types.
      seen.sni = String((socket as TLSSocket & { readonly servername?: string }).servername);
      seen.alpn = String(socket.alpnProtocol);
      seen.peer = String(socket.getPeerX509Certificate()?.subjectAltName);
      socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'));
    },
  );
  await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve));
  const address = origin.address();
  return {
    seen,
    port: typeof address === 'object' && address !== null ? address.port : 0,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => origin.close(resolve));
    },
  };
}

async function startTlsClient(
  originPort: number,
  sanMatchers: readonly RuntimeSanMatcher[],
  fields: Partial<RuntimeUpstreamTls> = {},
): Promise<DataPlaneFixture> {
  const proxy = createDataPlaneFixture();
  const alpn = {
    name: 'istio.alpn',
    kind: 'istio_alpn',
    disabled: false,
    overrides: { http10: [], http11: ['istio-http/1.1', 'istio', 'http/1.1'], http2: [] },
  } as const;
  const router = { name: 'router', kind: 'router', disabled: false, suppressEnvoyHeaders: false } as const;
  await proxy.apply({
    secrets: { remove: [], upsert: secrets(client, authority.certificate) },
    ...simpleConfig({
      hosts: [originPort],
      http: {
        httpFilters: [alpn, router],
        accessLogs: [
          {
            path: 'log',
            format: { kind: 'text', text: '%RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON%' },
            omitEmptyValues: false,
            filter: undefined,
          },
        ],
      },
      cluster: {
        transportMatches: [
          {
            name: 'tlsMode-istio',
            match: {},
            transport: { kind: 'tls', tls: { ...upstreamTls(sanMatchers), ...fields } },
          },
        ],
      },
    }),
  });
  return proxy;
}

test('an upstream is reached over mutual TLS with our identity, its SNI, and the ALPN that Istio expects', async () => {
  await using origin = await startTlsOrigin(server);
  await using proxy = await startTlsClient(origin.port, [uri(SERVER)]);
  assert.equal((await fetchHttp(proxy.port())).body, 'ok');
  assert.deepEqual(origin.seen, {
    sni: 'outbound_.80_._.backend.app1.svc.cluster.local',
    alpn: 'istio-http/1.1',
    peer: `URI:${CLIENT}`,
  });
});

test("a server outside the mesh is called by each request's host, and must have a certificate for it", async () => {
  await using origin = await startTlsOrigin(authority.issue(['DNS:a.example.com', 'DNS:*.wild.example.com']));
  await using proxy = await startTlsClient(origin.port, [], { sni: undefined, autoSni: true, autoSanValidation: true });
  const statusFor = async (host: string): Promise<number> =>
    (await fetchHttp(proxy.port(), { headers: { host } })).status;
  assert.equal(await statusFor('a.example.com:8443'), 200);
  assert.equal(origin.seen.sni, 'a.example.com');
  assert.equal(await statusFor('b.wild.example.com'), 200);
  assert.equal(origin.seen.sni, 'b.wild.example.com');
  assert.equal(await statusFor('b.example.com'), 503);
  assert.match(proxy.logLines.join(''), /UF TLS_error:_verify_SAN_list/);
  assert.equal(await statusFor('127.0.0.1'), 503, 'the certificate names no address');
  assert.equal(await statusFor('a.example.com'), 200);
});

test('an upstream with another name than expected is not spoken to', async () => {
  await using origin = await startTlsOrigin(server);
  await using proxy = await startTlsClient(origin.port, [uri('spiffe://cluster.local/ns/app1/sa/other')]);
  assert.equal((await fetchHttp(proxy.port())).status, 503);
  assert.match(proxy.logLines.join(''), /^UF TLS_error:_verify_SAN_list/);
  assert.equal(proxy.stat('cluster.backend.ssl.fail_verify_san'), 1);
});

test('an upstream of a foreign authority is not spoken to', async () => {
  await using origin = await startTlsOrigin(foreign.issue([`URI:${SERVER}`]));
  await using proxy = await startTlsClient(origin.port, [uri(SERVER)]);
  assert.equal((await fetchHttp(proxy.port())).status, 503);
  assert.match(proxy.logLines.join(''), /^UF TLS_error/);
});

test('a permissive listener takes mutual TLS and plaintext side by side', async () => {
  await using origin = await startOrigin((_request, response) => response.end('ok'));
  await using proxy = createDataPlaneFixture();
  const config = simpleConfig({ hosts: [origin.port] });
  const [listener] = config.listeners?.upsert ?? [];
  assert.ok(listener);
  await proxy.apply({
    ...config,
    secrets: { remove: [], upsert: secrets(server, authority.certificate) },
    listeners: {
      remove: [],
      upsert: [
        {
          ...listener,
          listenerFilters: {
            originalDst: false,
            originalSrc: undefined,
            tlsInspector: { disabled: undefined },
            httpInspector: { disabled: undefined },
            timeoutMs: 0,
            continueOnTimeout: true,
          },
          filterChains: [
            filterChainFixture({
              name: 'mtls',
              match: {
                ...ANY_CONNECTION,
                transportProtocol: 'tls',
                applicationProtocols: ['istio-http/1.0', 'istio-http/1.1', 'istio-h2'],
              },
              tls: downstreamTls(),
              filters: [httpFixture(fastClose)],
            }),
            filterChainFixture({
              name: 'plain',
              match: { ...ANY_CONNECTION, applicationProtocols: ['http/1.0', 'http/1.1', 'h2c'] },
              filters: [httpFixture()],
            }),
          ],
        },
      ],
    },
  });
  assert.match(await ask(dial(proxy, { ALPNProtocols: ['istio-http/1.1', 'istio', 'http/1.1'] })), /200 OK/);
  assert.equal((await fetchHttp(proxy.port())).body, 'ok');
});

test('PROXY-06 a name takes the chain of its wildcard; without a name no chain takes the connection, and it is counted', async () => {
  await using origin = await startOrigin((_request, response) => response.end('ok'));
  await using proxy = createDataPlaneFixture();
  const chain = (name: string, serverNames: readonly string[]) =>
    filterChainFixture({
      name,
      match: { ...ANY_CONNECTION, serverNames },
      tls: { ...downstreamTls(), validation: undefined, requireClientCertificate: false },
      filters: [httpFixture({ ...fastClose, serverName: name })],
    });
  await proxy.apply({
    ...simpleConfig({
      hosts: [origin.port],
      listener: {
        filterChains: [chain('exact', ['a.com']), chain('wildcard', ['*.com'])],
        listenerFilters: {
          originalDst: false,
          originalSrc: undefined,
          tlsInspector: { disabled: undefined },
          httpInspector: undefined,
          timeoutMs: 1000,
          continueOnTimeout: false,
        },
      },
    }),
    secrets: { remove: [], upsert: secrets(server, authority.certificate) },
  });
  assert.match(await ask(dial(proxy, { servername: 'x.com' })), /\r\nserver: wildcard\r\n/);
  assert.match(await ask(dial(proxy, { servername: 'a.com' })), /\r\nserver: exact\r\n/);
  assert.equal(await ask(dial(proxy)), '');
  assert.equal(proxy.stat('listener.127.0.0.1_0.no_filter_chain_match'), 1);
});
