import assert from 'node:assert/strict';
import { connect } from 'node:http2';
import { type TestContext, test } from 'node:test';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import { err, ok, silentLog, systemClock } from '@meltemi/base';
import { eventually } from '@meltemi/testing';
import { DiscoveryRequestSchema } from '@meltemi/xds/types/envoy/service/discovery/v3/discovery_pb.js';
import { encodeResource } from '../encoded-resource.ts';
import { TYPE_URLS } from '../type-urls.ts';
import { silentDiscoveryObserver } from './discovery-observer.ts';
import type { DiscoverySession } from './discovery-provider.ts';
import type { DiscoveryQuestions } from './discovery-questions.ts';
import { createDiscoveryServer, type DiscoveryServer, type DiscoveryServerOptions } from './discovery-server.ts';
import type { DirtyNames } from './subscription.ts';
import { connectDelta, connectSotw } from './testing/ads-test-client.ts';

const { cluster: CDS, endpoint: EDS, listener: LDS, route: RDS } = TYPE_URLS;
const NODE = { id: 'sidecar~1.2.3.4~p.default~default.svc.cluster.local', cluster: 'p' };

/** A server over a table of texts by type and name, in place of translated resources. */
class TextServer {
  readonly content: Readonly<Record<string, Map<string, string>>> = {
    [CDS]: new Map(),
    [EDS]: new Map(),
    [LDS]: new Map(),
    [RDS]: new Map(),
  };
  readonly rejected: string[] = [];
  staleCount = 0;
  number = 1;
  port = 0;
  readonly server: DiscoveryServer<DiscoverySession>;

  constructor(options: Partial<DiscoveryServerOptions<DiscoverySession>> = {}) {
    this.server = createDiscoveryServer<DiscoverySession>({
      provider: { open: () => ok(this.#createSession()) },
      clock: systemClock,
      log: silentLog,
      observer: {
        rejected: (typeUrl, message) => void this.rejected.push(`${typeUrl} ${message}`),
        staleNonce: () => void this.staleCount++,
        pushed: () => {},
        writeTimedOut: () => {},
      },
      ...options,
    });
  }

  set(typeUrl: string, entries: Readonly<Record<string, string>>): void {
    const map = this.content[typeUrl] as Map<string, string>;
    map.clear();
    for (const [name, text] of Object.entries(entries)) map.set(name, text);
  }

  /** Changes content and sends it out as the next snapshot. */
  push(typeUrl: string, entries: Readonly<Record<string, string>>, dirty: DirtyNames = 'all'): void {
    this.set(typeUrl, entries);
    this.announce([typeUrl], dirty);
  }

  /** Sends out what was set, as the next snapshot. */
  announce(typeUrls: readonly string[], dirty: DirtyNames = 'all'): void {
    this.number++;
    this.server.push(() => new Map(typeUrls.map((typeUrl) => [typeUrl, dirty])));
  }

  #createSession(): DiscoverySession {
    const currentNumber = () => this.number;
    return {
      get number() {
        return currentNumber();
      },
      generate: (typeUrl, names) => {
        const entries = [...(this.content[typeUrl] ?? [])].filter(([name]) => names?.has(name) ?? true);
        const resources = entries.map(
          ([name, text]) => [name, encodeResource(typeUrl, name, Buffer.from(text))] as const,
        );
        return { number: this.number, versionInfo: `v${this.number}`, resources: new Map(resources) };
      },
      [Symbol.dispose]() {},
    };
  }
}

async function serve(
  t: TestContext,
  options: Partial<DiscoveryServerOptions<DiscoverySession>> = {},
): Promise<TextServer> {
  const text = new TextServer(options);
  const grpc = new Server();
  text.server.addTo(grpc);
  text.port = await new Promise<number>((resolve, reject) =>
    grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    ),
  );
  t.after(() => {
    text.server[Symbol.dispose]();
    grpc.forceShutdown();
  });
  return text;
}

test('PILOT-55 a rejected response is not repeated, and a stale nonce is ignored', async (t) => {
  const text = await serve(t);
  text.set(CDS, { a: '1' });
  text.set(LDS, { l: '1' });
  using client = connectSotw(text.port);
  client.send({ node: NODE, typeUrl: CDS });
  const first = await client.next();
  assert.equal(first.versionInfo, 'v1');
  client.send({ typeUrl: CDS, responseNonce: first.nonce, errorDetail: { code: 3, message: 'bad cluster' } });
  client.send({ typeUrl: CDS, responseNonce: 'an-old-one' });
  // Whatever the two requests above had caused would come before this.
  client.send({ typeUrl: LDS });
  assert.equal((await client.next()).typeUrl, LDS);
  assert.deepEqual(text.rejected, [`${CDS} bad cluster`]);
  assert.equal(text.staleCount, 1);
  const subscription = text.server.statuses()[0]?.subscriptions.find(({ typeUrl }) => typeUrl === CDS);
  assert.deepEqual([subscription?.state, subscription?.lastError], ['ERROR', 'bad cluster']);
  text.push(CDS, { a: '2' });
  assert.equal((await client.next()).versionInfo, 'v2');
});

test('PILOT-56 names that are added to a subscription are sent alone', async (t) => {
  const text = await serve(t);
  text.set(RDS, { '80': 'a', '443': 'b' });
  using client = connectSotw(text.port);
  client.send({ node: NODE, typeUrl: RDS, resourceNames: ['80'] });
  const first = await client.next();
  assert.equal(first.resources.length, 1);
  client.send({ typeUrl: RDS, responseNonce: first.nonce, resourceNames: ['80', '443'] });
  const second = await client.next();
  assert.deepEqual(
    second.resources.map(({ value }) => Buffer.from(value).toString()),
    ['b'],
  );
});

test('PILOT-57 delta names what is gone, and clusters that come anew are followed by their endpoints', async (t) => {
  const text = await serve(t);
  text.set(CDS, { a: '1', 'a|v1': '1', b: '1' });
  text.set(EDS, { a: 'x', b: 'y' });
  using client = connectDelta(text.port);
  client.send({ node: NODE, typeUrl: CDS });
  const clusters = await client.next();
  client.send({ typeUrl: CDS, responseNonce: clusters.nonce });
  text.push(CDS, { b: '1' });
  const removal = await client.next();
  assert.deepEqual(removal.removedResources.sort(), ['a', 'a|v1']);
  assert.deepEqual(removal.resources, []);

  using again = connectDelta(text.port);
  const known = { b: 'another version' };
  again.send({ node: NODE, typeUrl: EDS, resourceNamesSubscribe: ['b'] });
  const endpoints = await again.next();
  again.send({ typeUrl: EDS, responseNonce: endpoints.nonce });
  again.send({ typeUrl: CDS, initialResourceVersions: known });
  assert.deepEqual(
    (await again.next()).resources.map(({ name }) => name),
    ['b'],
  );
  const forced = await again.next();
  assert.deepEqual([forced.typeUrl, forced.resources.map(({ name }) => name)], [EDS, ['b']]);
});

test('A reconnected delta client is sent only what differs from what it has', async (t) => {
  const text = await serve(t);
  text.set(CDS, { a: '1', b: '1' });
  const version = encodeResource(CDS, 'a', Buffer.from('1')).version;
  using client = connectDelta(text.port);
  client.send({ node: NODE, typeUrl: CDS, initialResourceVersions: { a: version, b: 'old', gone: 'old' } });
  const response = await client.next();
  assert.deepEqual(
    response.resources.map(({ name }) => name),
    ['b'],
  );
  assert.deepEqual(response.removedResources, ['gone']);
});

test('A delta client is told of names that do not exist', async (t) => {
  const text = await serve(t);
  using client = connectDelta(text.port);
  client.send({ node: NODE, typeUrl: EDS, resourceNamesSubscribe: ['nobody'] });
  assert.deepEqual((await client.next()).removedResources, ['nobody']);
});

test('PILOT-58 a node id of the wrong shape is an invalid argument', async (t) => {
  const text = await serve(t);
  using client = connectSotw(text.port);
  client.send({ node: { id: 'sidecar~1.2.3.4~p' }, typeUrl: CDS });
  const { code, details } = await client.ended();
  assert.equal(code, status.INVALID_ARGUMENT);
  assert.match(details, /3 parts, needed 4/);
});

test('PILOT-59 status tells how far a client is with each type that it watches', async (t) => {
  const text = await serve(t);
  text.set(CDS, { a: '1' });
  using client = connectSotw(text.port);
  client.send({ node: NODE, typeUrl: CDS });
  const first = await client.next();
  const stateOf = (typeUrl: string) =>
    text.server.statuses()[0]?.subscriptions.find((entry) => entry.typeUrl === typeUrl)?.state;
  const barrier = async () => {
    client.send({ typeUrl: LDS });
    assert.equal((await client.next()).typeUrl, LDS);
  };
  assert.equal(stateOf(CDS), 'STALE');
  assert.equal(stateOf(RDS), undefined);
  client.send({ typeUrl: CDS, responseNonce: first.nonce });
  await barrier();
  assert.equal(stateOf(CDS), 'SYNCED');
  text.push(CDS, { a: '2' });
  const second = await client.next();
  client.send({ typeUrl: CDS, responseNonce: second.nonce, errorDetail: { code: 3, message: 'no' } });
  await text.server.waitForDistribution(text.number, 0);
  // A response to a subscription that came after the NACK shows that the NACK was read.
  client.send({ typeUrl: EDS, resourceNames: ['x'] });
  assert.equal((await client.next()).typeUrl, EDS);
  assert.equal(stateOf(CDS), 'ERROR');
});

test('A type that is watched and was sent nothing is NOT_SENT', async (t) => {
  const text = await serve(t, {
    provider: { open: () => ok({ number: 1, generate: () => assert.fail('not asked'), [Symbol.dispose]() {} }) },
  });
  using client = connectSotw(text.port);
  client.send({ node: NODE, typeUrl: CDS, errorDetail: { code: 3, message: 'from before' } });
  client.send({ node: { id: '' }, typeUrl: RDS, resourceNames: [] });
  await eventually(() => text.server.statuses().length === 1, 5_000);
  assert.equal(text.server.statuses()[0]?.subscriptions[0]?.state, 'NOT_SENT');
});

test('A client has at most one response of a type unacknowledged, and then gets the newest content', async (t) => {
  const text = await serve(t);
  text.set(CDS, { a: '1' });
  using client = connectDelta(text.port);
  client.send({ node: NODE, typeUrl: CDS });
  const first = await client.next();
  for (const content of ['2', '3', '4']) text.push(CDS, { a: content });
  client.send({ typeUrl: LDS });
  client.send({ typeUrl: EDS, resourceNamesSubscribe: ['x'] });
  // Endpoints go out, and hold nobody back; listeners wait until the client has the clusters that they may name.
  assert.equal((await client.next()).typeUrl, EDS);
  client.send({ typeUrl: CDS, responseNonce: first.nonce });
  const second = await client.next();
  assert.equal(second.typeUrl, CDS);
  assert.equal(Buffer.from(second.resources[0]?.resource?.value ?? []).toString(), '4');
  client.send({ typeUrl: CDS, responseNonce: second.nonce });
  assert.equal((await client.next()).typeUrl, LDS);
});

test('Make before break, delta: routes follow the ACK of new clusters, removals follow the ACK of routes', async (t) => {
  const text = await serve(t);
  text.set(CDS, { old: '1' });
  text.set(RDS, { http: 'to old' });
  using client = connectDelta(text.port);
  client.send({ node: NODE, typeUrl: CDS });
  client.send({ typeUrl: CDS, responseNonce: (await client.next()).nonce });
  client.send({ typeUrl: RDS, resourceNamesSubscribe: ['http'] });
  client.send({ typeUrl: RDS, responseNonce: (await client.next()).nonce });

  text.set(CDS, { new: '1' });
  text.set(RDS, { http: 'to new' });
  text.announce([CDS, RDS]);
  const added = await client.next();
  assert.deepEqual(
    [added.typeUrl, added.resources.map(({ name }) => name), added.removedResources],
    [CDS, ['new'], []],
  );
  // The client asks for the endpoints of the new cluster before it says that it has it.
  client.send({ typeUrl: EDS, resourceNamesSubscribe: ['new'] });
  const endpoints = await client.next();
  assert.equal(endpoints.typeUrl, EDS);
  client.send({ typeUrl: CDS, responseNonce: added.nonce });
  client.send({ typeUrl: EDS, responseNonce: endpoints.nonce });
  const routes = await client.next();
  assert.equal(routes.typeUrl, RDS);
  assert.equal((await text.server.waitForDistribution(text.number, 0)).complete, false);
  client.send({ typeUrl: RDS, responseNonce: routes.nonce });
  const removed = await client.next();
  assert.deepEqual([removed.typeUrl, removed.resources, removed.removedResources], [CDS, [], ['old']]);
  client.send({ typeUrl: CDS, responseNonce: removed.nonce });
  assert.equal((await text.server.waitForDistribution(text.number, 5_000)).complete, true);
});

test('Make before break, state of the world: what is gone is repeated until routes no longer name it', async (t) => {
  const text = await serve(t);
  text.set(CDS, { old: '1' });
  text.set(RDS, { http: 'to old' });
  using client = connectSotw(text.port);
  const take = async (typeUrl: string, resourceNames: readonly string[] = []): Promise<number> => {
    const response = await client.next();
    assert.equal(response.typeUrl, typeUrl);
    client.send({ typeUrl, resourceNames: [...resourceNames], responseNonce: response.nonce });
    return response.resources.length;
  };
  client.send({ node: NODE, typeUrl: CDS });
  await take(CDS);
  client.send({ typeUrl: RDS, resourceNames: ['http'] });
  await take(RDS, ['http']);

  text.set(CDS, { new: '1' });
  text.set(RDS, { http: 'to new' });
  text.announce([CDS, RDS]);
  assert.equal(await take(CDS), 2);
  await take(RDS, ['http']);
  assert.equal(await take(CDS), 1);
  assert.equal((await text.server.waitForDistribution(text.number, 5_000)).complete, true);
});

test('A push that changes nothing for a client sends nothing, and the client counts as up to date', async (t) => {
  const text = await serve(t);
  text.set(CDS, { a: '1' });
  using client = connectSotw(text.port);
  client.send({ node: NODE, typeUrl: CDS });
  client.send({ typeUrl: CDS, responseNonce: (await client.next()).nonce });
  text.push(CDS, { a: '1' });
  assert.deepEqual(await text.server.waitForDistribution(text.number, 5_000), {
    complete: true,
    laggards: [],
    proxyCount: 1,
  });
  client.send({ typeUrl: LDS });
  assert.equal((await client.next()).typeUrl, LDS);
});

test('Waiting for distribution names who lags, and in what', async (t) => {
  const text = await serve(t);
  text.set(CDS, { a: '1' });
  using client = connectSotw(text.port);
  client.send({ node: NODE, typeUrl: CDS });
  client.send({ typeUrl: CDS, responseNonce: (await client.next()).nonce });
  text.push(CDS, { a: '2' });
  const pushed = await client.next();
  const late = await text.server.waitForDistribution(text.number, 10);
  assert.equal(late.complete, false);
  assert.deepEqual(
    late.laggards.map(({ proxyId, type, state }) => [proxyId, type, state]),
    [['p.default', 'CDS', 'STALE']],
  );
  const waiting = text.server.waitForDistribution(text.number, 5_000);
  client.send({ typeUrl: CDS, responseNonce: pushed.nonce });
  assert.equal((await waiting).complete, true);
});

test('A caller may introduce itself only as the workload that it proved to be', async (t) => {
  const identity = { trustDomain: 'cluster.local', namespace: 'default', serviceAccount: 'app' };
  const text = await serve(t, {
    authenticate: async ({ authorization }) => (authorization === 'Bearer good' ? ok(identity) : err('no valid token')),
  });
  using stranger = connectSotw(text.port);
  assert.equal((await stranger.ended()).code, status.UNAUTHENTICATED);
  using liar = connectSotw(text.port, { authorization: 'Bearer good' });
  liar.send({ node: { ...NODE, metadata: { NAMESPACE: 'kube-system' } }, typeUrl: CDS });
  assert.equal((await liar.ended()).code, status.PERMISSION_DENIED);
  using impostor = connectSotw(text.port, { authorization: 'Bearer good' });
  impostor.send({ node: { ...NODE, metadata: { SERVICE_ACCOUNT: 'admin' } }, typeUrl: CDS });
  assert.equal((await impostor.ended()).code, status.PERMISSION_DENIED);
  using namesake = connectSotw(text.port, { authorization: 'Bearer good' });
  const name = { id: 'sidecar~1.2.3.4~api.payments~default.svc.cluster.local', metadata: { NAMESPACE: 'default' } };
  namesake.send({ node: name, typeUrl: CDS });
  const refusal = await namesake.ended();
  assert.equal(refusal.code, status.PERMISSION_DENIED);
  assert.match(refusal.details, /claims the name "api\.payments", but the caller is of "default"/);
  using honest = connectSotw(text.port, { authorization: 'Bearer good' });
  honest.send({ node: { ...NODE, metadata: { SERVICE_ACCOUNT: 'app' } }, typeUrl: CDS });
  assert.equal((await honest.next()).typeUrl, CDS);
});

test('What one client makes the server remember is bounded: types, and names that do not exist', async (t) => {
  const text = await serve(t);
  using collector = connectDelta(text.port);
  collector.send({ node: NODE, typeUrl: EDS });
  for (let index = 0; index < 64; index++) collector.send({ typeUrl: `type.googleapis.com/made.up.Type${index}` });
  assert.equal((await collector.ended()).code, status.RESOURCE_EXHAUSTED);
  using hoarder = connectDelta(text.port);
  for (let round = 0; round < 5; round++) {
    const resourceNamesSubscribe = Array.from({ length: 50_000 }, (_, index) => `${round}-${index}`);
    hoarder.send({ node: NODE, typeUrl: EDS, resourceNamesSubscribe });
  }
  assert.equal((await hoarder.ended()).code, status.RESOURCE_EXHAUSTED);
  await eventually(() => text.server.statuses().length === 0, 5_000);
});

test('A client is told to come again while there is nothing to serve', async (t) => {
  const text = await serve(t, { provider: { open: () => err('still reading') } });
  using client = connectSotw(text.port);
  client.send({ node: NODE, typeUrl: CDS });
  assert.equal((await client.ended()).code, status.UNAVAILABLE);
});

/** Opens a stream that nobody reads: gRPC's own client reads ahead, a bare HTTP/2 stream fills its window. */
function connectUnread(
  t: TestContext,
  port: number,
): (request: MessageInitShape<typeof DiscoveryRequestSchema>) => void {
  const session = connect(`http://127.0.0.1:${port}`);
  t.after(() => session.destroy());
  session.on('error', () => {});
  const stream = session.request({
    ':method': 'POST',
    ':path': '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => {});
  return (message) => {
    const request = toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, message));
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(request.length, 1);
    stream.write(Buffer.concat([prefix, request]));
  };
}

test('A client that does not read is cut off', async (t) => {
  let timeouts = 0;
  const text = await serve(t, {
    drainTimeoutMs: 50,
    observer: { ...silentDiscoveryObserver, writeTimedOut: () => void timeouts++ },
  });
  text.set(CDS, { a: 'x'.repeat(3_000_000) });
  connectUnread(t, text.port)({ node: NODE, typeUrl: CDS });
  await eventually(() => timeouts === 1 && text.server.statuses().length === 0, 5_000);
});

test('A server that is drained sends its clients away one after the other, and takes in no new ones', async (t) => {
  const text = await serve(t);
  text.set(CDS, { a: '1' });
  const clients = Array.from({ length: 4 }, () => connectSotw(text.port));
  for (const client of clients) {
    client.send({ node: NODE, typeUrl: CDS });
    await client.next();
  }
  const goneMs: number[] = [];
  const watching = clients.map(async (client) => {
    const { code } = await client.ended();
    goneMs.push(performance.now());
    return code;
  });
  const startedMs = performance.now();
  await text.server.drain(10_000);
  assert.deepEqual(
    await Promise.all(watching),
    clients.map(() => status.UNAVAILABLE),
  );
  // Twenty milliseconds apart, though the window would allow for more; timers may fire a moment early.
  assert.ok((goneMs.at(-1) ?? 0) - (goneMs[0] ?? 0) >= 50, goneMs.map((ms) => Math.round(ms - startedMs)).join());
  using late = connectSotw(text.port);
  late.send({ node: NODE, typeUrl: CDS });
  assert.equal((await late.ended()).code, status.UNAVAILABLE);
  for (const client of clients) client[Symbol.dispose]();
});

test('a question is answered once, without introduction; one that is refused ends its stream, as do two at a time', async (t) => {
  const questions: DiscoveryQuestions = {
    handles: (typeUrl) => typeUrl.startsWith('ask/'),
    async answer({ typeUrl, names, signal }) {
      if (typeUrl === 'ask/forbidden') return err({ code: status.PERMISSION_DENIED, details: 'not you' });
      if (typeUrl === 'ask/broken') throw new Error('broken');
      if (typeUrl === 'ask/slow') await new Promise((resolve) => signal.addEventListener('abort', resolve));
      return ok(encodeResource('ask', names.join(), Buffer.from('answer')));
    },
  };
  const text = await serve(t, { questions });
  using client = connectSotw(text.port);
  client.send({ typeUrl: 'ask/me', resourceNames: ['a'] });
  const { nonce, resources, typeUrl } = await client.next();
  assert.deepEqual(
    [typeUrl, resources[0]?.typeUrl, Buffer.from(resources[0]?.value ?? []).toString()],
    ['ask/me', 'ask', 'answer'],
  );
  client.send({ typeUrl: 'ask/me', resourceNames: ['a'], responseNonce: nonce });
  assert.deepEqual(text.server.statuses(), []);
  client.send({ typeUrl: 'ask/forbidden' });
  assert.deepEqual(await client.ended(), { code: status.PERMISSION_DENIED, details: 'not you' });
  using broken = connectSotw(text.port);
  broken.send({ typeUrl: 'ask/broken' });
  assert.equal((await broken.ended()).code, status.INTERNAL);
  using eager = connectSotw(text.port);
  eager.send({ typeUrl: 'ask/slow' });
  eager.send({ typeUrl: 'ask/me' });
  assert.equal((await eager.ended()).code, status.RESOURCE_EXHAUSTED);
});

test('whoever does not take an answer is not heard until then, and cut off in the end', async (t) => {
  let answerCount = 0;
  let timeouts = 0;
  const questions: DiscoveryQuestions = {
    handles: () => true,
    async answer({ typeUrl }) {
      if (typeUrl === 'ask/much') answerCount++;
      return ok(encodeResource('ask', '', Buffer.alloc(typeUrl === 'ask/much' ? 3_000_000 : 1)));
    },
  };
  const observer = { ...silentDiscoveryObserver, writeTimedOut: () => void timeouts++ };
  const text = await serve(t, { questions, drainTimeoutMs: 500, observer });
  const ask = connectUnread(t, text.port);
  using other = connectSotw(text.port);
  for (let round = 0; round < 10; round++) {
    ask({ typeUrl: 'ask/much' });
    await eventually(() => answerCount > 0, 5_000);
    // What goes there and back leaves the server time to make one more answer.
    other.send({ typeUrl: 'ask/little' });
    await other.next();
  }
  await eventually(() => timeouts === 1, 5_000);
  assert.equal(answerCount, 1);
});
