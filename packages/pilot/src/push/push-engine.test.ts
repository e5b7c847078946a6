import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { silentLog, systemClock } from '@meltemi/base';
import type { MeshSnapshot } from '@meltemi/model';
import { shortTypeName, TYPE_URLS } from '@meltemi/xds';
import { connectDelta, type DeltaTestClient } from '@meltemi/xds/server/testing';
import { type FixtureEndpoint, type FixtureMesh, fixtureConfig, fixtureInputs } from '../testing/mesh-fixture.ts';
import { createPushEngine, type PushEngine } from './push-engine.ts';

const NODE = { id: 'sidecar~10.11.0.9~p.default~default.svc.cluster.local', metadata: { CLUSTER_ID: 'cluster1' } };
const WATCHED = [TYPE_URLS.cluster, TYPE_URLS.endpoint, TYPE_URLS.listener, TYPE_URLS.route];
const REVIEWS = 'outbound|9080||reviews.default.svc.cluster.local';
const DEADLINE_MS = 5_000;

function meshWith(
  endpoints: readonly FixtureEndpoint[],
  rest: Partial<FixtureMesh> & { readonly serviceAccounts?: readonly string[] } = {},
): FixtureMesh {
  const { serviceAccounts = [], ...mesh } = rest;
  const ports = [{ name: 'http', number: 9080 }];
  return {
    services: [
      { name: 'reviews', vip: '10.111.0.10', ports, endpoints, serviceAccounts },
      { name: 'ratings', vip: '10.111.0.11', ports, endpoints: [{ address: '10.11.0.30' }] },
    ],
    ...mesh,
  };
}

/** An engine with one delta client that has everything and acknowledges whatever comes. */
class ConnectedEngine {
  readonly engine: PushEngine;
  readonly #client: DeltaTestClient;
  readonly #received: { readonly type: string; readonly names: readonly string[] }[] = [];
  #mesh: FixtureMesh;

  private constructor(engine: PushEngine, client: DeltaTestClient, mesh: FixtureMesh) {
    this.engine = engine;
    this.#client = client;
    this.#mesh = mesh;
  }

  static async start(
    t: TestContext,
    mesh: FixtureMesh,
    watched: readonly string[] = WATCHED,
  ): Promise<ConnectedEngine> {
    let connected: ConnectedEngine | undefined;
    const engine = createPushEngine({
      collect: () => fixtureInputs(connected === undefined ? mesh : connected.#mesh),
      clock: systemClock,
      log: silentLog,
      debounceMs: 1,
    });
    engine.start();
    const grpc = new Server();
    engine.server.addTo(grpc);
    const port = await new Promise<number>((resolve, reject) =>
      grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    );
    const client = connectDelta(port);
    t.after(() => {
      client[Symbol.dispose]();
      engine[Symbol.dispose]();
      grpc.forceShutdown();
    });
    connected = new ConnectedEngine(engine, client, mesh);
    await connected.#subscribe(watched);
    return connected;
  }

  async #subscribe(watched: readonly string[]): Promise<void> {
    const names: Readonly<Record<string, readonly string[]>> = {
      [TYPE_URLS.endpoint]: [REVIEWS, 'outbound|9080||ratings.default.svc.cluster.local'],
      [TYPE_URLS.route]: ['9080'],
    };
    for (const typeUrl of watched) {
      this.#client.send({ node: NODE, typeUrl, resourceNamesSubscribe: [...(names[typeUrl] ?? [])] });
      await this.#acknowledgeNext();
    }
    void this.#acknowledgeAll();
    await this.engine.waitForDistribution({ deadlineMs: DEADLINE_MS });
    this.#received.length = 0;
  }

  async #acknowledgeAll(): Promise<void> {
    try {
      for (;;) await this.#acknowledgeNext();
    } catch {
      // The test is over: nothing more comes.
    }
  }

  async #acknowledgeNext(): Promise<void> {
    const { typeUrl, nonce, resources, removedResources } = await this.#client.next();
    const names = [...resources.map(({ name }) => name), ...removedResources.map((name) => `-${name}`)].sort();
    this.#received.push({ type: shortTypeName(typeUrl), names });
    this.#client.send({ typeUrl, responseNonce: nonce });
  }

  /** Changes the mesh, and returns what the client was sent until it had everything. */
  async apply(mesh: FixtureMesh): Promise<readonly { readonly type: string; readonly names: readonly string[] }[]> {
    this.#mesh = mesh;
    this.#received.length = 0;
    const before = this.engine.snapshot()?.number ?? 0;
    this.engine.notify();
    const includes = (snapshot: MeshSnapshot) => snapshot.number > before;
    const { laggards } = await this.engine.waitForDistribution({ deadlineMs: DEADLINE_MS, includes });
    assert.deepEqual(laggards, []);
    return [...this.#received];
  }
}

test('PILOT-53 a new endpoint is sent alone; a new service account changes the cluster', async (t) => {
  const one = [{ address: '10.11.0.20' }];
  const two = [...one, { address: '10.11.0.21' }];
  const connected = await ConnectedEngine.start(t, meshWith(one));
  assert.deepEqual(await connected.apply(meshWith(two)), [{ type: 'EDS', names: [REVIEWS] }]);
  const serviceAccounts = ['spiffe://cluster.local/ns/default/sa/new'];
  // The cluster warms anew, so its endpoints follow.
  assert.deepEqual(await connected.apply(meshWith(two, { serviceAccounts })), [
    { type: 'CDS', names: [REVIEWS] },
    { type: 'EDS', names: [REVIEWS] },
  ]);
});

test('A VirtualService is sent as routes only, a DestinationRule with subsets as clusters', async (t) => {
  const endpoints = [{ address: '10.11.0.20', labels: { version: 'v1' } }];
  const connected = await ConnectedEngine.start(t, meshWith(endpoints));
  const virtualService = fixtureConfig('VirtualService', 'reviews', {
    hosts: ['reviews'],
    http: [{ route: [{ destination: { host: 'reviews', subset: 'v1' } }] }],
  });
  assert.deepEqual(await connected.apply(meshWith(endpoints, { configs: [virtualService] })), [
    { type: 'RDS', names: ['9080'] },
  ]);
  const rule = fixtureConfig('DestinationRule', 'reviews', {
    host: 'reviews',
    subsets: [{ name: 'v1', labels: { version: 'v1' } }],
  });
  const v1 = 'outbound|9080|v1|reviews.default.svc.cluster.local';
  const sent = await connected.apply(meshWith(endpoints, { configs: [virtualService, rule] }));
  assert.deepEqual(sent, [
    { type: 'CDS', names: [REVIEWS, v1].sort() },
    { type: 'EDS', names: [REVIEWS] },
  ]);
  const gone = await connected.apply(meshWith(endpoints, { configs: [virtualService] }));
  // Last, because routes might still have named it.
  assert.deepEqual(
    [gone[0], gone.at(-1)],
    [
      { type: 'CDS', names: [REVIEWS] },
      { type: 'CDS', names: [`-${v1}`] },
    ],
  );
});

test('A resource that is written again with equal content is not sent, and still counts as distributed', async (t) => {
  const endpoints = [{ address: '10.11.0.20' }];
  const rule = (resourceVersion: string) =>
    fixtureConfig('DestinationRule', 'reviews', { host: 'reviews' }, { resourceVersion });
  const connected = await ConnectedEngine.start(t, meshWith(endpoints, { configs: [rule('1')] }));
  assert.deepEqual(await connected.apply(meshWith(endpoints, { configs: [rule('2')] })), []);
});

test('A mode that a workload demands changes its inbound listener', async (t) => {
  const own = [{ address: '10.11.0.9' }];
  const connected = await ConnectedEngine.start(t, meshWith(own));
  const strict = fixtureConfig('PeerAuthentication', 'strict', { mtls: { mode: 'STRICT' } });
  assert.deepEqual(await connected.apply(meshWith(own, { configs: [strict] })), [
    { type: 'LDS', names: ['virtualInbound'] },
  ]);
});

test('Waiting for what no snapshot holds ends at the deadline', async (t) => {
  const connected = await ConnectedEngine.start(t, meshWith([]));
  const result = await connected.engine.waitForDistribution({ deadlineMs: 10, includes: () => false });
  assert.equal(result.complete, false);
  assert.equal(result.laggards[0]?.type, 'snapshot');
});

test('an agent that asks is sent the table of names again when a name comes, and when a pod of a headless service does', async (t) => {
  const watched = [TYPE_URLS.cluster, TYPE_URLS.nameTable];
  const headless = (...addresses: readonly string[]): FixtureMesh => ({
    ...meshWith([]),
    services: [
      ...(meshWith([]).services ?? []),
      {
        name: 'db',
        headless: true,
        ports: [{ name: 'tcp', number: 3306 }],
        endpoints: addresses.map((address) => ({ address })),
      },
    ],
  });
  const connected = await ConnectedEngine.start(t, meshWith([]), watched);
  const table = { type: 'NDS', names: ['name-table'] };
  const typesOf = (pushed: readonly { readonly type: string }[]): readonly string[] => pushed.map(({ type }) => type);
  assert.deepEqual(typesOf(await connected.apply(headless('10.11.0.1'))), ['CDS', 'NDS']);
  assert.deepEqual(await connected.apply(headless('10.11.0.1', '10.11.0.2')), [table]);
  assert.deepEqual(await connected.apply(meshWith([{ address: '10.11.0.40' }])), [
    { type: 'CDS', names: ['-outbound|3306||db.default.svc.cluster.local'] },
    table,
  ]);
});
