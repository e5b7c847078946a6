import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { silentLog } from '@meltemi/base';
import { buildResponse, parseQuestion, truncateResponse } from './dns-message.ts';
import { type DnsServer, type DnsServerOptions, startDnsServer } from './dns-server.ts';
import { createDnsUpstream, type DnsUpstreamOptions } from './dns-upstream.ts';
import { createNameLookup, type NameInfo, type NameLookup } from './name-lookup.ts';
import { parseResolvConf } from './resolv-conf.ts';

function service(name: string, namespace: string, ...ips: readonly string[]): [string, NameInfo] {
  return [`${name}.${namespace}.svc.cluster.local`, { ips, registry: 'Kubernetes', shortname: name, namespace }];
}

function entry(host: string, ...ips: readonly string[]): [string, NameInfo] {
  return [host, { ips, registry: 'External', shortname: '', namespace: '' }];
}

const NAMES = createNameLookup(
  new Map([
    service('reviews', 'app1', '10.0.0.1'),
    service('ratings', 'app2', '10.0.0.2'),
    service('dual', 'app1', '10.0.0.3', 'fd00::3'),
    service('crowd', 'app1', ...Array.from({ length: 40 }, (_, index) => `10.1.0.${index + 1}`)),
    entry('www.Example.com', '240.240.0.1'),
    entry('*.example.org', '240.240.0.2'),
    entry('*.deep.example.org', '240.240.0.3'),
  ]),
  { namespace: 'app1', serviceDomain: 'svc.cluster.local', searchDomain: 'app1.svc.cluster.local' },
);

/** Knows one name and answers everything else with a failure. */
async function startUpstream(): Promise<DnsServer> {
  const names = createNameLookup(new Map([entry('elsewhere.test', '192.0.2.7')]), {
    namespace: '',
    serviceDomain: '',
    searchDomain: '',
  });
  return start({ names: () => names });
}

function nowhere(): DnsServerOptions['upstream'] {
  return createDnsUpstream({ servers: [], timeoutMs: 100, isParallel: false, soMark: undefined, random: () => 0 });
}

function start(change: Partial<DnsServerOptions> = {}): Promise<DnsServer> {
  return startDnsServer({
    addresses: ['127.0.0.1'],
    port: 0,
    names: () => NAMES,
    isAlwaysForwarded: () => false,
    upstream: nowhere(),
    soMark: undefined,
    random: Math.random,
    log: silentLog,
    ...change,
  });
}

function upstreamTo(ports: readonly number[], change: Partial<DnsUpstreamOptions> = {}): DnsServerOptions['upstream'] {
  return createDnsUpstream({
    servers: ports.map((port) => ({ address: '127.0.0.1', port })),
    timeoutMs: 1500,
    isParallel: false,
    soMark: undefined,
    random: () => 0.5,
    ...change,
  });
}

/** The resolver library that Node has: a client that was not written for this server. */
function clientOf({ port }: DnsServer): Resolver {
  const resolver = new Resolver({ timeout: 2000, tries: 1 });
  resolver.setServers([`127.0.0.1:${port}`]);
  return resolver;
}

function query(name: string, type = 1, udpBytes?: number): Buffer {
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  const header = Buffer.from([0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, udpBytes === undefined ? 0 : 1]);
  const opt = udpBytes === undefined ? [] : [Buffer.from([0, 0, 41, udpBytes >> 8, udpBytes & 0xff, 0, 0, 0, 0, 0, 0])];
  return Buffer.concat([header, ...labels, Buffer.from([0, type >> 8, type & 0xff, 0, 1]), ...opt]);
}

async function askUdp(server: DnsServer, message: Buffer): Promise<Buffer> {
  const socket = createSocket('udp4');
  socket.send(message, server.port, '127.0.0.1');
  const [answer] = (await once(socket, 'message')) as [Buffer];
  socket.close();
  return answer;
}

const code = (answer: Buffer): number => answer.readUInt16BE(2) & 0xf;
const answers = (answer: Buffer): number => answer.readUInt16BE(6);

test('SEC-66 MC-38 every form of a name is answered, the rest goes upstream, and nothing is before the table', async () => {
  await using upstream = await startUpstream();
  let names: NameLookup | undefined;
  await using server = await start({ names: () => names, upstream: upstreamTo([upstream.port]) });
  const client = clientOf(server);
  await assert.rejects(client.resolve4('reviews'), { code: 'ESERVFAIL' });
  await assert.rejects(client.resolve4('elsewhere.test'), { code: 'ESERVFAIL' });
  names = NAMES;
  for (const [name, address] of [
    ['reviews', '10.0.0.1'],
    ['reviews.app1', '10.0.0.1'],
    ['reviews.app1.svc', '10.0.0.1'],
    ['reviews.app1.svc.cluster.local', '10.0.0.1'],
    ['REVIEWS.App1', '10.0.0.1'],
    ['ratings.app2', '10.0.0.2'],
    ['ratings.app2.svc.cluster.local', '10.0.0.2'],
    // By the search list: what a resolver asks for first.
    ['ratings.app2.app1.svc.cluster.local', '10.0.0.2'],
    ['www.example.com', '240.240.0.1'],
    ['any.example.org', '240.240.0.2'],
    ['any.at.all.example.org', '240.240.0.2'],
    ['more.deep.example.org', '240.240.0.3'],
    ['elsewhere.test', '192.0.2.7'],
  ] as const)
    assert.deepEqual(await client.resolve4(name), [address], name);
  assert.deepEqual(await client.resolve6('dual'), ['fd00::3']);
  const [ttl] = await client.resolve4('reviews', { ttl: true });
  assert.equal(ttl?.ttl, 30);
  // A short name is for its own namespace, a wildcard not for its own domain; upstream does not know them.
  for (const name of ['ratings', 'example.org', 'www.example.com.cluster.local'])
    await assert.rejects(client.resolve4(name), { code: 'ESERVFAIL' }, name);
  await assert.rejects(client.resolve6('reviews'), { code: 'ENODATA' });
  const none = await askUdp(server, query('reviews', 28));
  assert.deepEqual([code(none), answers(none)], [0, 0]);
  assert.ok((none.readUInt16BE(2) & 0x0400) !== 0, 'the mesh is the authority for its names');
  const { requests, upstreamRequests, failures } = server.counters();
  assert.ok(requests > 15 && upstreamRequests === 4 && failures === 2, JSON.stringify(server.counters()));
});

test('an expanded name is answered with the name proper as an alias, and the address after it', async () => {
  await using server = await start();
  const answer = await askUdp(server, query('Reviews.app1.app1.svc.cluster.local'));
  assert.equal(answers(answer), 2);
  const question = parseQuestion(query('Reviews.app1.app1.svc.cluster.local'));
  const records = answer.subarray(question?.endOffset);
  assert.equal(records.readUInt16BE(2), 5);
  assert.ok(records.subarray(12).toString('latin1').startsWith('\x07reviews\x04app1\x00'));
  assert.ok(answer.includes('Reviews'), 'the question is repeated as it was written');
});

test('answers larger than the client takes are cut, and are whole over TCP', async () => {
  await using server = await start();
  const small = await askUdp(server, query('crowd'));
  assert.ok(small.length <= 512 && answers(small) < 40);
  assert.ok((small.readUInt16BE(2) & 0x0200) !== 0);
  const large = await askUdp(server, query('crowd', 1, 1232));
  assert.equal(answers(large), 40);
  assert.equal(large.readUInt16BE(2) & 0x0200, 0);
  // c-ares asks again over TCP by itself.
  const resolved = await clientOf(server).resolve4('crowd');
  assert.equal(new Set(resolved).size, 40);
  const orders = await Promise.all(
    Array.from({ length: 5 }, async () => (await clientOf(server).resolve4('crowd'))[0]),
  );
  assert.ok(new Set(orders).size > 1, 'the order changes from answer to answer');
});

test('two queries on one TCP connection are answered in turn, and a malformed one ends it', async () => {
  await using server = await start();
  const socket = connect(server.port, '127.0.0.1');
  let received = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => (received = Buffer.concat([received, chunk])));
  const framed = (message: Buffer): Buffer => Buffer.concat([Buffer.from([0, message.length]), message]);
  const half = query('reviews').subarray(0, 15);
  socket.write(Buffer.concat([framed(query('reviews')), framed(query('dual', 28)), framed(half)]));
  await once(socket, 'close');
  const first = received.readUInt16BE(0);
  assert.equal(answers(received.subarray(2)), 1);
  assert.equal(answers(received.subarray(4 + first)), 1);
  assert.equal(parseQuestion(half), undefined);
});

test('a silent server and a refusing one are passed over; when none answers the client is told so', async () => {
  await using upstream = await startUpstream();
  const silent = createSocket('udp4');
  silent.bind(0, '127.0.0.1');
  await once(silent, 'listening');
  try {
    for (const isParallel of [false, true]) {
      const forward = upstreamTo([silent.address().port, 1, upstream.port], { isParallel });
      await using server = await start({ upstream: forward });
      assert.deepEqual(await clientOf(server).resolve4('elsewhere.test'), ['192.0.2.7'], `parallel: ${isParallel}`);
    }
    await using deaf = await start({ upstream: upstreamTo([silent.address().port], { timeoutMs: 200 }) });
    assert.equal(code(await askUdp(deaf, query('elsewhere.test'))), 2);
    assert.equal(deaf.counters().failures, 1);
  } finally {
    silent.close();
  }
});

test('an error that comes without the question ends the waiting, and the client gets the question with it', async () => {
  const upstream = createSocket('udp4');
  upstream.on('message', (message, { port }) => {
    const other = Buffer.from([0, 1, 0x81, 5, 0, 0, 0, 0, 0, 0, 0, 0]);
    const refusal = Buffer.concat([message.subarray(0, 2), other.subarray(2)]);
    for (const answer of [other, refusal]) upstream.send(answer, port);
  });
  upstream.bind(0, '127.0.0.1');
  await once(upstream, 'listening');
  try {
    await using server = await start({ upstream: upstreamTo([upstream.address().port], { timeoutMs: 60_000 }) });
    const asked = query('elsewhere.test');
    const answer = await askUdp(server, asked);
    assert.equal(code(answer), 5);
    assert.deepEqual(answer.subarray(12), asked.subarray(12));
    await assert.rejects(clientOf(server).resolve4('elsewhere.test'), { code: 'EREFUSED' });
  } finally {
    upstream.close();
  }
});

test('questions of other classes are passed on, and other requests than queries are not implemented', async () => {
  await using server = await start();
  const chaos = query('reviews');
  chaos[chaos.length - 1] = 3;
  assert.equal(code(await askUdp(server, chaos)), 2);
  assert.deepEqual(server.counters(), { requests: 1, upstreamRequests: 1, failures: 1 });
  const update = query('reviews');
  update[2] = 5 << 3;
  const refusal = await askUdp(server, update);
  assert.deepEqual([...refusal], [0xab, 0xcd, 0x80 | (5 << 3), 4, 0, 0, 0, 0, 0, 0, 0, 0]);
});

test('the control plane is found before the table is there', async () => {
  await using upstream = await startUpstream();
  await using server = await start({
    names: () => undefined,
    isAlwaysForwarded: (name) => name === 'elsewhere.test.',
    upstream: upstreamTo([upstream.port]),
  });
  assert.deepEqual(await clientOf(server).resolve4('elsewhere.test'), ['192.0.2.7']);
});

test('other questions about known names are passed on, and large answers from elsewhere are cut for UDP', () => {
  const message = query('reviews', 16);
  const question = parseQuestion(message);
  assert.ok(question);
  const long = buildResponse(
    message,
    question,
    { responseCode: 0, addresses: Array(60).fill('10.0.0.1'), ttlSeconds: 1 },
    65_535,
  );
  assert.ok(long.length > 512);
  const cut = truncateResponse(long, question);
  assert.equal(cut.length, question.endOffset);
  assert.deepEqual([answers(cut), cut.readUInt16BE(2) & 0x0200], [0, 0x0200]);
  assert.equal(parseQuestion(long), undefined, 'a response is no question');
});

test('resolv.conf is read as resolvers read it', () => {
  assert.deepEqual(
    parseResolvConf('search a.b c.d.\n nameserver 10.0.0.1 \nnameserver bad\nnameserver fd00::1\nsearch x\n'),
    {
      nameServers: ['10.0.0.1', 'fd00::1'],
      searchDomains: ['x'],
    },
  );
});
