import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { messageOf } from '@meltemi/base';
import { eventually, ManualClock } from '@meltemi/testing';
import { WebSocketServer } from 'ws';
import { createKubeClient } from './client.ts';
import type { ClusterAccess } from './cluster-access.ts';
import { describeProxy, type ProxyAddress, parseProxyUrl } from './proxy-url.ts';
import { PODS } from './resources.ts';
import { readTestPem, sendJson, startScriptedServer } from './testing/scripted-server.ts';
import { startTestProxy } from './testing/test-proxy.ts';

const KINDS = ['http', 'https', 'socks5'] as const;
const CREDENTIALS = { user: 'ü:ser', password: 'p@ss wörd' };

const answer: Parameters<typeof startScriptedServer>[0]['answer'] = (_request, response) =>
  sendJson(response, { kind: 'PodList', metadata: {}, items: [] });

/** Everything that an error says, with its causes. */
async function failureOf(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => assert.fail('it did not fail'),
    (cause: unknown) => cause,
  );
  const texts: string[] = [];
  for (let at: unknown = error; at instanceof Error; at = at.cause) texts.push(messageOf(at));
  return texts.join('; ');
}

async function listThrough(access: ClusterAccess, proxy: ProxyAddress, clock?: ManualClock): Promise<unknown> {
  await using client = createKubeClient({ access: { ...access, proxy }, ...(clock === undefined ? {} : { clock }) });
  return (await client.list(PODS)).items;
}

test('parseProxyUrl takes the proxies of kubeconfigs, and quotes nothing of what it refuses', () => {
  const table: readonly [text: string, expected: object][] = [
    ['http://proxy', { kind: 'http', host: 'proxy', port: 80 }],
    ['https://proxy/', { kind: 'https', host: 'proxy', port: 443 }],
    ['socks5://[::1]', { kind: 'socks5', host: '::1', port: 1080 }],
    [
      'http://a%3A:b%40@proxy:3128',
      { kind: 'http', host: 'proxy', port: 3128, credentials: { user: 'a:', password: 'b@' } },
    ],
  ];
  for (const [text, expected] of table) assert.deepEqual(parseProxyUrl(text), { ok: true, value: expected });
  assert.equal(describeProxy({ kind: 'http', host: '::1', port: 1, credentials: CREDENTIALS }), 'http://[::1]:1');
  const long = 'x'.repeat(256);
  for (const text of [
    'secret',
    'ftp://u:secret@x',
    'http://u:secret@x/path',
    'http://',
    'http://u:secret%@x',
    `http://${long}:secret@x`,
  ]) {
    const refused = parseProxyUrl(text);
    assert.ok(!refused.ok && !refused.error.includes('secret') && !refused.error.includes(long), text);
  }
});

for (const kind of KINDS) {
  test(`a client goes through a proxy of kind ${kind}, and verifies the server behind it`, async () => {
    await using server = await startScriptedServer({ answer });
    await using proxy = await startTestProxy(kind, CREDENTIALS);
    const { host } = new URL(server.access.server);
    assert.deepEqual(await listThrough(server.access, proxy.address), []);
    assert.deepEqual(proxy.targets, [host]);
    // The proxy looks names up, and TLS expects them.
    const named = { ...server.access, server: server.access.server.replace('127.0.0.1', 'localhost') };
    assert.deepEqual(await listThrough(named, proxy.address), []);
    assert.deepEqual(proxy.targets, [host, host.replace('127.0.0.1', 'localhost')]);
    const stranger = { ...server.access, tlsServerName: 'other.test' };
    assert.match(await failureOf(listThrough(stranger, proxy.address)), /altnames|Hostname/);
    const certificateAuthorityPem = readTestPem('client.crt');
    assert.match(
      await failureOf(listThrough({ ...server.access, certificateAuthorityPem }, proxy.address)),
      /certificate/,
    );
  });

  test(`a proxy of kind ${kind} that refuses is named with why, and without the password`, async () => {
    await using server = await startScriptedServer({ answer });
    await using proxy = await startTestProxy(kind, CREDENTIALS);
    const wrong = { ...proxy.address, credentials: { user: 'u', password: 'very-secret' } };
    const refused = await failureOf(listThrough(server.access, wrong));
    assert.match(
      refused,
      /Cannot go through the proxy \w+:\/\/127\.0\.0\.1:\d+: the proxy (answered with status 407|refuses the user)/,
    );
    assert.ok(!refused.includes('very-secret') && !refused.includes(Buffer.from('u:very-secret').toString('base64')));
    assert.deepEqual([proxy.targets, server.connectionCount], [[], 0]);
  });

  test(`a proxy of kind ${kind} that says nothing, nonsense or goodbye fails in time`, async () => {
    await using server = await startScriptedServer({ answer });
    const sockets = new Set<Socket>();
    let behave: (socket: Socket) => void = () => {};
    const odd = createServer((socket) => {
      sockets.add(socket.on('error', () => {}));
      socket.once('data', () => behave(socket));
    }).listen(0, '127.0.0.1');
    await once(odd, 'listening');
    const proxy = { kind, host: '127.0.0.1', port: (odd.address() as AddressInfo).port };
    const clock = new ManualClock();
    const silent = failureOf(listThrough(server.access, proxy, clock));
    await eventually(() => assert.equal(sockets.size, 1), 5_000);
    clock.advance(10_000);
    assert.match(await silent, /no tunnel within 10000 ms/);
    for (const bytes of ['', 'nonsense\r\n\r\n', '\u0005']) {
      behave = (socket) => void socket.end(bytes);
      assert.match(await failureOf(listThrough(server.access, proxy)), /Cannot go through the proxy/, bytes);
    }
    for (const socket of sockets) socket.destroy();
    odd.close();
    await once(odd, 'close');
  });
}

test('a proxy over TLS is known by its own name, not by that of the server behind it', async () => {
  await using server = await startScriptedServer({ answer });
  await using proxy = await startTestProxy('https');
  // The proxy's certificate is not for this name.
  const elsewhere = server.access.server.replace('127.0.0.1', 'elsewhere.test');
  const access = { ...server.access, server: elsewhere, tlsServerName: 'kube.test' };
  for (const host of ['127.0.0.1', 'localhost'])
    assert.deepEqual(await listThrough(access, { ...proxy.address, host }), [], host);
});

test('a proxy over TLS is trusted by the roots of the machine, and by those that NODE_EXTRA_CA_CERTS names', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'proxy-roots-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const [cert, key] = [join(directory, 'cert'), join(directory, 'key')];
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=p'];
  const san = ['-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync('openssl', [...request, ...san, '-keyout', key, '-out', cert], { stdio: 'pipe' });
  const [certPem, keyPem] = [readFileSync(cert, 'utf8'), readFileSync(key, 'utf8')];
  await using server = await startScriptedServer({ answer });
  await using proxy = await startTestProxy('https', undefined, { cert: certPem, key: keyPem });
  const access: ClusterAccess = { ...server.access, proxy: proxy.address };
  const script = new URL('./testing/proxied-list-script.ts', import.meta.url).pathname;
  for (const name of ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE']) {
    const env = { PATH: process.env['PATH'], ACCESS: JSON.stringify(access), [name]: cert };
    const { stdout } = await promisify(execFile)(process.execPath, [script], { env, timeout: 20_000 });
    assert.equal(stdout, '[]', name);
  }
  assert.match(await failureOf(listThrough(server.access, proxy.address)), /self-signed certificate/);
});

for (const kind of KINDS) {
  test(`a certificate that is not for its key leaves no tunnel through a proxy of kind ${kind}, and is not its fault`, async () => {
    await using server = await startScriptedServer({ answer });
    await using proxy = await startTestProxy(kind);
    const clientCertificate = { certificatePem: readTestPem('client.crt'), keyPem: readTestPem('server.key') };
    const access = { ...server.access, credentials: { clientCertificate } };
    const failure = await failureOf(listThrough(access, proxy.address));
    assert.match(failure, /key values mismatch/);
    assert.doesNotMatch(failure, /proxy/);
    await eventually(() => assert.equal(proxy.openCount, 0), 5_000);
  });
}

test('exec goes through the proxy as well', async () => {
  const sockets = new WebSocketServer({ noServer: true });
  sockets.on('connection', (socket) => {
    socket.send(Buffer.concat([Buffer.of(1), Buffer.from('hello')]));
    socket.send(Buffer.concat([Buffer.of(3), Buffer.from('{"status":"Success"}')]));
  });
  await using server = await startScriptedServer({
    answer,
    upgrade: (request, socket, head) =>
      sockets.handleUpgrade(request, socket, head, (connected) => sockets.emit('connection', connected)),
  });
  await using proxy = await startTestProxy('socks5');
  await using client = createKubeClient({ access: { ...server.access, proxy: proxy.address } });
  const stdout = new PassThrough();
  assert.equal(await client.exec({ pod: { namespace: 'a', name: 'b' }, command: ['x'], stdout }).done, 0);
  assert.equal(String(stdout.read()), 'hello');
  assert.deepEqual(proxy.targets, [new URL(server.access.server).host]);
});

test('a SOCKS proxy that asks for a user that there is none of, and one without use for it, say so', async () => {
  await using server = await startScriptedServer({ answer });
  await using asking = await startTestProxy('socks5', CREDENTIALS);
  const { credentials: _none, ...anonymous } = asking.address;
  assert.match(await failureOf(listThrough(server.access, anonymous)), /the proxy asks for a user/);
  await using open = await startTestProxy('socks5');
  const named = { ...open.address, credentials: CREDENTIALS };
  assert.match(await failureOf(listThrough(server.access, named)), /the proxy takes no user and password/);
});
