import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { type AddressInfo, connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { silentLog, systemClock } from '@meltemi/base';
import type { EndpointSlice, Service, SliceEndpoint } from '@meltemi/kube';
import { RCODE, RECORD_TYPE } from './dns-message.ts';
import { createDnsServer, type DnsServer } from './dns-server.ts';
import { createForwarder, parseNameServers } from './forwarder.ts';
import { createZoneView, type ZoneView } from './zone.ts';

function service(name: string, namespace: string, spec: Partial<Service['spec']>): Service {
  const ports = [{ name: 'http', port: 80, protocol: 'TCP' }];
  return { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec: { ports, ...spec } };
}

function headlessSlice(endpoints: readonly SliceEndpoint[]): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'db-1', namespace: 'app1' },
    addressType: 'IPv4',
    endpoints,
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  };
}

const MANY = Array.from({ length: 60 }, (_, index) => ({ addresses: [`10.11.2.${index}`] }));

const SERVICES: Readonly<Record<string, Service>> = {
  'default/kubernetes': service('kubernetes', 'default', { clusterIP: '10.111.0.1' }),
  'app1/helloworld': service('helloworld', 'app1', { clusterIP: '10.111.0.7' }),
  'app1/db': service('db', 'app1', { clusterIP: 'None' }),
  'app1/many': service('many', 'app1', { clusterIP: 'None' }),
  'app1/alias': service('alias', 'app1', { type: 'ExternalName', externalName: 'helloworld.app1.svc.cluster.local' }),
};

const SLICES: Readonly<Record<string, readonly EndpointSlice[]>> = {
  'app1/db': [
    headlessSlice([
      { addresses: ['10.11.1.2'], hostname: 'db-0' },
      { addresses: ['10.11.1.1'] },
      { addresses: ['10.11.1.9'], conditions: { ready: false } },
    ]),
  ],
  'app1/many': [headlessSlice(MANY)],
};

const VIEW: ZoneView = createZoneView({
  domain: 'cluster.local',
  services: { get: ({ namespace, name }) => SERVICES[`${namespace}/${name}`] },
  slices: { byIndex: (_index, value) => SLICES[value] ?? [] },
  namespaces: { get: ({ name }) => (['default', 'app1'].includes(name) ? {} : undefined) },
});

async function startServer(t: TestContext, upstreams: readonly string[] = [], port = 53): Promise<DnsServer> {
  const forwarder = createForwarder({ upstreams, clock: systemClock, port });
  const server = createDnsServer({ view: VIEW, forwarder, log: silentLog, address: '127.0.0.1', port: 0 });
  await server.start();
  t.after(() => server[Symbol.asyncDispose]());
  return server;
}

function resolverFor(t: TestContext, server: DnsServer): Resolver {
  const resolver = new Resolver({ timeout: 2_000, tries: 1 });
  resolver.setServers([`127.0.0.1:${server.port}`]);
  t.after(() => resolver.cancel());
  return resolver;
}

function encodeQuestion(name: string, type: number, opcode = 0): Buffer {
  const labels = name.split('.').flatMap((label) => [label.length, ...Buffer.from(label)]);
  return Buffer.from([0x12, 0x34, (opcode << 3) | 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, type, 0, 1]);
}

/** Sends one datagram and reads one. */
function ask(t: TestContext, server: DnsServer, message: Buffer): Promise<Buffer> {
  const socket = createSocket('udp4');
  t.after(() => socket.close());
  return new Promise((resolve) => {
    socket.once('message', resolve);
    socket.send(message, server.port, '127.0.0.1');
  });
}

const rcodeOf = (answer: Buffer): number => answer.readUInt8(3) & 0xf;
const answerCountOf = (answer: Buffer): number => answer.readUInt16BE(6);

test('Cluster DNS answers with the address of a service, in any case of letters, for 5 seconds', async (t) => {
  const resolver = resolverFor(t, await startServer(t));
  assert.deepEqual(await resolver.resolve4('HelloWorld.app1.svc.cluster.local', { ttl: true }), [
    { address: '10.111.0.7', ttl: 5 },
  ]);
  assert.deepEqual(await resolver.resolve4('kubernetes.default.svc.cluster.local'), ['10.111.0.1']);
});

test('Cluster DNS answers for a headless service with its ready pods, and for each by its own name', async (t) => {
  const resolver = resolverFor(t, await startServer(t));
  assert.deepEqual((await resolver.resolve4('db.app1.svc.cluster.local')).sort(), ['10.11.1.1', '10.11.1.2']);
  assert.deepEqual(await resolver.resolve4('db-0.db.app1.svc.cluster.local'), ['10.11.1.2']);
  assert.deepEqual(await resolver.resolve4('10-11-1-1.db.app1.svc.cluster.local'), ['10.11.1.1']);
  await assert.rejects(resolver.resolve4('db-9.db.app1.svc.cluster.local'), { code: 'ENOTFOUND' });
});

test('Cluster DNS answers SRV for named ports', async (t) => {
  const resolver = resolverFor(t, await startServer(t));
  const [one] = await resolver.resolveSrv('_http._tcp.helloworld.app1.svc.cluster.local');
  assert.deepEqual([one?.name, one?.port], ['helloworld.app1.svc.cluster.local', 80]);
  const targets = await resolver.resolveSrv('_http._tcp.db.app1.svc.cluster.local');
  assert.deepEqual(targets.map(({ name, port }) => `${name}:${port}`).sort(), [
    '10-11-1-1.db.app1.svc.cluster.local:8080',
    'db-0.db.app1.svc.cluster.local:8080',
  ]);
  await assert.rejects(resolver.resolveSrv('_grpc._tcp.helloworld.app1.svc.cluster.local'), { code: 'ENOTFOUND' });
});

test('Cluster DNS follows an ExternalName inside the cluster', async (t) => {
  const resolver = resolverFor(t, await startServer(t));
  assert.deepEqual(await resolver.resolve4('alias.app1.svc.cluster.local'), ['10.111.0.7']);
});

test('Cluster DNS tells a name without records of a type from a name that does not exist', async (t) => {
  const server = await startServer(t);
  const cases: readonly (readonly [string, number, number])[] = [
    ['helloworld.app1.svc.cluster.local', RECORD_TYPE.AAAA, RCODE.noError],
    ['db.app1.svc.cluster.local', RECORD_TYPE.AAAA, RCODE.noError],
    ['app1.svc.cluster.local', RECORD_TYPE.A, RCODE.noError],
    ['svc.cluster.local', RECORD_TYPE.A, RCODE.noError],
    ['_tcp.helloworld.app1.svc.cluster.local', RECORD_TYPE.A, RCODE.noError],
    ['other.app1.svc.cluster.local', RECORD_TYPE.A, RCODE.nameError],
    ['other.app1.svc.cluster.local', RECORD_TYPE.AAAA, RCODE.nameError],
    ['helloworld.app1.app1.svc.cluster.local', RECORD_TYPE.A, RCODE.nameError],
    ['helloworld.app1.cluster.local', RECORD_TYPE.A, RCODE.nameError],
    ['no-such-namespace.svc.cluster.local', RECORD_TYPE.A, RCODE.nameError],
  ];
  for (const [name, type, rcode] of cases) {
    const answer = await ask(t, server, encodeQuestion(name, type));
    assert.deepEqual([rcodeOf(answer), answerCountOf(answer)], [rcode, 0], `${name} ${type}`);
    assert.equal(answer.readUInt16BE(8), 1, 'an SOA bounds negative caching');
  }
});

test('Cluster DNS marks what does not fit a datagram as truncated, and gives it over TCP', async (t) => {
  const server = await startServer(t);
  const question = encodeQuestion('many.app1.svc.cluster.local', RECORD_TYPE.A);
  const cut = await ask(t, server, question);
  assert.ok((cut.readUInt8(2) & 0x02) !== 0);
  assert.equal(answerCountOf(cut), 0);
  const whole = await new Promise<Buffer>((resolve) => {
    const socket = connect(server.port, '127.0.0.1');
    const framed = Buffer.concat([Buffer.of(0, question.length), question]);
    // In two pieces, as TCP may deliver it.
    socket.write(framed.subarray(0, 5), () => socket.write(framed.subarray(5)));
    let received: Buffer = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 + received.readUInt16BE(0)) return;
      socket.destroy();
      resolve(received.subarray(2));
    });
  });
  assert.equal(answerCountOf(whole), 60);
  assert.equal((await resolverFor(t, server).resolve4('many.app1.svc.cluster.local')).length, 60);
});

test('Cluster DNS repeats the question byte for byte', async (t) => {
  const question = encodeQuestion('HeLLoWorLD.app1.svc.cluster.local', RECORD_TYPE.A);
  const answer = await ask(t, await startServer(t), question);
  assert.deepEqual(answer.subarray(12, question.length), question.subarray(12));
});

test('Cluster DNS passes names that are not the cluster on, and fails at once when nobody answers', async (t) => {
  const upstream: Socket = createSocket('udp4');
  t.after(() => upstream.close());
  await new Promise<void>((resolve) => upstream.bind(0, '127.0.0.1', resolve));
  upstream.on('message', (message, from) => {
    const answer = Buffer.concat([message, Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7])]);
    answer.writeUInt16BE(0x8180, 2);
    answer.writeUInt16BE(1, 6);
    upstream.send(answer, from.port, from.address);
  });
  const server = await startServer(t, ['127.0.0.1'], (upstream.address() as AddressInfo).port);
  const answer = await ask(t, server, encodeQuestion('example.org', RECORD_TYPE.A));
  assert.equal(rcodeOf(answer), RCODE.noError);
  assert.deepEqual([...answer.subarray(-4)], [192, 0, 2, 7]);

  // Port 1: nobody listens, as with the resolver of a host whose loopback is not ours.
  for (const alone of [await startServer(t), await startServer(t, ['127.0.0.1'], 1)]) {
    const startedMs = performance.now();
    assert.equal(rcodeOf(await ask(t, alone, encodeQuestion('example.org', RECORD_TYPE.A))), RCODE.serverFailure);
    assert.ok(performance.now() - startedMs < 2_000);
  }
});

test('Cluster DNS survives garbage, and refuses what is no plain query', async (t) => {
  const server = await startServer(t);
  const socket = createSocket('udp4');
  t.after(() => socket.close());
  const loop = Buffer.concat([encodeQuestion('a', 1).subarray(0, 12), Buffer.of(0xc0, 12, 0, 1, 0, 1)]);
  for (const garbage of [Buffer.alloc(0), Buffer.of(1, 2, 3), Buffer.alloc(600, 0xff), Buffer.alloc(40), loop]) {
    await new Promise((resolve) => socket.send(garbage, server.port, '127.0.0.1', resolve));
  }
  const update = await ask(t, server, encodeQuestion('app1.svc.cluster.local', RECORD_TYPE.A, 5));
  assert.equal(rcodeOf(update), RCODE.notImplemented);
});

test('parseNameServers takes the IPv4 servers, without our own address', () => {
  const text = '# x\nsearch a\nnameserver 1.1.1.1\nnameserver ::1\nnameserver 10.111.0.10\n nameserver 8.8.8.8 \n';
  assert.deepEqual(parseNameServers(text, '10.111.0.10'), ['1.1.1.1', '8.8.8.8']);
});
