import assert from 'node:assert/strict';
import { get } from 'node:http';
import { networkInterfaces } from 'node:os';
import { type TestContext, test } from 'node:test';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { defaultMeshConfig } from '@meltemi/api';
import { silentLog, systemClock } from '@meltemi/base';
import type { MeshInputs } from '@meltemi/model';
import { createPushEngine, type PushEngine } from '@meltemi/pilot';
import { eventually, freePort, needPeer } from '@meltemi/testing';
import { TYPE_URLS } from '@meltemi/xds';
import { ADS_SERVER_OPTIONS } from '@meltemi/xds/server';
import {
  type FixtureMesh,
  fixtureConfig,
  fixtureInputs,
  HELLOWORLD_MESH,
} from '../../packages/pilot/src/testing/mesh-fixture.ts';
import { type EnvoyProcess, startEnvoy } from './envoy-process.ts';
import { addSecretService } from './secret-server.ts';

type Protocol = 'sotw' | 'delta';

const SYNC_MS = 15_000;

/** A control plane in this process: pilot and a stand-in for the agent's SDS on one port. */
interface ControlPlane extends AsyncDisposable {
  readonly engine: PushEngine;
  readonly port: number;
  /** Changes the mesh and waits until Envoy has it. */
  apply(mesh: FixtureMesh): Promise<void>;
}

async function startControlPlane(mesh: FixtureMesh): Promise<ControlPlane> {
  const ports = { proxyListenPort: await freePort(), proxyInboundListenPort: await freePort() };
  const collect = (from: FixtureMesh): MeshInputs =>
    fixtureInputs({ ...from, meshConfig: { ...defaultMeshConfig(), ...from.meshConfig, ...ports } });
  let inputs = collect(mesh);
  const engine = createPushEngine({ collect: () => inputs, clock: systemClock, log: silentLog, debounceMs: 10 });
  engine.start();
  const grpc = new Server(ADS_SERVER_OPTIONS);
  engine.server.addTo(grpc);
  addSecretService(grpc);
  const port = await new Promise<number>((resolve, reject) =>
    grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  return {
    engine,
    port,
    async apply(next) {
      inputs = collect(next);
      const before = engine.snapshot()?.number ?? 0;
      engine.notify();
      const result = await engine.waitForDistribution({
        deadlineMs: SYNC_MS,
        includes: (snapshot) => snapshot.number > before,
      });
      assert.deepEqual(result.laggards, []);
      assert.equal(result.proxyCount, 1);
    },
    async [Symbol.asyncDispose]() {
      engine[Symbol.dispose]();
      grpc.forceShutdown();
    },
  };
}

/** Who Envoy says it is. */
interface Identity {
  /** Default: a sidecar. */
  readonly type?: 'sidecar' | 'router';
  readonly address: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
}

const CAPTURED: Identity = { address: '127.0.0.1', metadata: {} };

function bootstrapOf(port: number, protocol: Protocol, identity: Identity = CAPTURED): object {
  const { type = 'sidecar', address, metadata, labels = { app: 'sleep' } } = identity;
  const grpcCluster = (name: string) => ({
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
    load_assignment: {
      cluster_name: name,
      endpoints: [
        {
          lb_endpoints: [{ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } }],
        },
      ],
    },
  });
  return {
    node: {
      id: `${type}~${address}~sleep-1.app1~app1.svc.cluster.local`,
      cluster: 'sleep.app1',
      metadata: {
        NAMESPACE: 'app1',
        CLUSTER_ID: 'cluster1',
        SERVICE_ACCOUNT: 'default',
        LABELS: labels,
        INSTANCE_IPS: address,
        ...metadata,
      },
    },
    dynamic_resources: {
      ads_config: {
        api_type: protocol === 'delta' ? 'DELTA_GRPC' : 'GRPC',
        transport_api_version: 'V3',
        set_node_on_first_message_only: true,
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds-grpc' } }],
      },
      cds_config: { ads: {}, initial_fetch_timeout: '0s', resource_api_version: 'V3' },
      lds_config: { ads: {}, initial_fetch_timeout: '0s', resource_api_version: 'V3' },
    },
    static_resources: { clusters: [grpcCluster('xds-grpc'), grpcCluster('sds-grpc')] },
  };
}

/** Istio, and so whoever compares configurations, still has this one deprecated field. */
function isComplaint(line: string): boolean {
  return /rejected|deprecated|\[(error|critical)\]/i.test(line) && !line.includes('RouteAction.max_grpc_timeout');
}

async function assertAllAccepted(envoy: EnvoyProcess): Promise<void> {
  const rejected = await envoy.stats('update_rejected');
  const failed = [...rejected].filter(([, count]) => count > 0);
  const complaints = envoy.log().split('\n').filter(isComplaint);
  assert.deepEqual([failed, complaints], [[], []]);
  const updated = await envoy.stats('^(cluster_manager.cds|listener_manager.lds|http.*rds).*update_success');
  assert.ok([...updated.values()].some((count) => count > 0));
}

/** Resources and their versions as Envoy's config dump tells them, by name. */
async function dumpedVersions(envoy: EnvoyProcess): Promise<{
  readonly clusters: ReadonlyMap<string, string>;
  readonly listeners: ReadonlyMap<string, string>;
  readonly routes: ReadonlyMap<string, string>;
  readonly clusterUpdate: string;
  readonly listenerUpdate: string;
}> {
  interface Dump {
    readonly '@type': string;
    readonly version_info?: string;
    readonly dynamic_active_clusters?: readonly { readonly version_info: string; readonly cluster: { name: string } }[];
    readonly dynamic_warming_clusters?: readonly unknown[];
    readonly dynamic_listeners?: readonly {
      readonly name: string;
      readonly active_state?: { readonly version_info: string };
      readonly error_state?: unknown;
      readonly draining_state?: unknown;
    }[];
    readonly dynamic_route_configs?: readonly {
      readonly version_info: string;
      readonly route_config: { readonly name: string };
    }[];
  }
  const { configs } = JSON.parse(await envoy.admin('/config_dump')) as { readonly configs: readonly Dump[] };
  const section = (name: string): Dump | undefined => configs.find((dump) => dump['@type'].endsWith(`.${name}`));
  const clusters = section('ClustersConfigDump');
  const listeners = section('ListenersConfigDump');
  assert.deepEqual(clusters?.dynamic_warming_clusters ?? [], []);
  // A removed listener stays in the dump while its connections drain.
  const living = (listeners?.dynamic_listeners ?? []).filter(
    ({ active_state, draining_state }) => active_state !== undefined || draining_state === undefined,
  );
  for (const listener of living)
    assert.ok(
      listener.active_state,
      `listener ${listener.name} is not active: ${JSON.stringify(listener.error_state)}`,
    );
  return {
    clusters: new Map(
      (clusters?.dynamic_active_clusters ?? []).map(({ cluster, version_info }) => [cluster.name, version_info]),
    ),
    listeners: new Map(living.map(({ name, active_state }) => [name, active_state?.version_info ?? ''])),
    routes: new Map(
      (section('RoutesConfigDump')?.dynamic_route_configs ?? []).map(({ route_config, version_info }) => [
        route_config.name,
        version_info,
      ]),
    ),
    clusterUpdate: clusters?.version_info ?? '',
    listenerUpdate: listeners?.version_info ?? '',
  };
}

/** The dump must show the versions that the server says it was told were accepted. */
async function assertDumpMatchesStatus(envoy: EnvoyProcess, engine: PushEngine, protocol: Protocol): Promise<void> {
  const [status] = engine.server.statuses();
  assert.ok(status);
  const typeOf = (typeUrl: string) => {
    const found = status.subscriptions.find((subscription) => subscription.typeUrl === typeUrl);
    assert.equal(found?.state, 'SYNCED', typeUrl);
    return found;
  };
  const [cds, lds, rds] = [typeOf(TYPE_URLS.cluster), typeOf(TYPE_URLS.listener), typeOf(TYPE_URLS.route)];
  typeOf(TYPE_URLS.endpoint);
  const dumped = await dumpedVersions(envoy);
  assert.equal(dumped.clusterUpdate, cds?.versionAcked);
  assert.equal(dumped.listenerUpdate, lds?.versionAcked);
  assert.deepEqual([...dumped.clusters.keys()].sort(), [...(cds?.resources.keys() ?? [])].sort());
  assert.deepEqual([...dumped.listeners.keys()].sort(), [...(lds?.resources.keys() ?? [])].sort());
  assert.deepEqual([...dumped.routes.keys()].sort(), [...(rds?.resources.keys() ?? [])].sort());
  if (protocol === 'sotw') return;
  for (const [name, version] of dumped.clusters) assert.equal(version, cds?.resources.get(name), name);
  // Where only filter chains change, Envoy updates a listener in place, and goes on to show its first version.
  const inPlace = (await envoy.stats('listener_in_place_updated')).get('listener_manager.listener_in_place_updated');
  for (const [name, version] of inPlace === 0 ? dumped.listeners : [])
    assert.equal(version, lds?.resources.get(name), name);
  for (const [name, version] of dumped.routes) assert.equal(version, rds?.resources.get(name), name);
}

async function untilSynced(envoy: EnvoyProcess, engine: PushEngine): Promise<void> {
  await eventually(async () => {
    const [status] = engine.server.statuses();
    assert.ok(status, envoy.log());
    assert.equal((await envoy.stats('^server.state$')).get('server.state'), 0, 'Envoy is not live yet');
    for (const { typeUrl, state, lastError } of status.subscriptions)
      assert.equal(state, 'SYNCED', `${typeUrl} ${lastError}`);
    assert.ok(status.subscriptions.length >= 4, 'not every type is watched yet');
    const warming = await envoy.stats('(warming_clusters|total_listeners_warming)');
    for (const [name, count] of warming) assert.equal(count, 0, name);
  }, SYNC_MS);
}

const [virtualService, ...otherConfigs] = HELLOWORLD_MESH.configs ?? [];
assert.ok(virtualService);

/** What users do to a mesh, one after another. */
const CHANGES: readonly (readonly [string, FixtureMesh])[] = [
  ['the VirtualService is deleted', { ...HELLOWORLD_MESH, configs: otherConfigs }],
  ['every rule is deleted', { ...HELLOWORLD_MESH, configs: [] }],
  [
    'plain TCP and SIMPLE TLS are asked for, and unknown hosts are refused',
    {
      ...HELLOWORLD_MESH,
      meshConfig: { accessLogFile: '/dev/stdout', outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' } },
      configs: [
        fixtureConfig(
          'DestinationRule',
          'mysql',
          {
            host: 'mysql.app1.svc.cluster.local',
            trafficPolicy: { tls: { mode: 'SIMPLE' }, loadBalancer: { simple: 'PASSTHROUGH' } },
          },
          { namespace: 'app1' },
        ),
        fixtureConfig(
          'VirtualService',
          'mysql',
          {
            hosts: ['mysql'],
            tls: [
              { match: [{ sniHosts: ['mysql.app1.svc.cluster.local'] }], route: [{ destination: { host: 'mysql' } }] },
            ],
            tcp: [
              {
                route: [
                  { destination: { host: 'mysql' }, weight: 1 },
                  { destination: { host: 'peers' }, weight: 2 },
                ],
              },
            ],
          },
          { namespace: 'app1' },
        ),
        fixtureConfig('PeerAuthentication', 'off', { mtls: { mode: 'DISABLE' } }, { namespace: 'app1' }),
      ],
    },
  ],
  ['a service is removed', { ...HELLOWORLD_MESH, services: (HELLOWORLD_MESH.services ?? []).slice(0, 2) }],
];

async function driveEnvoy(t: TestContext, protocol: Protocol): Promise<void> {
  const executable = needPeer(t, 'envoy');
  if (executable === undefined) return;
  await using controlPlane = await startControlPlane(HELLOWORLD_MESH);
  await using envoy = await startEnvoy(executable, bootstrapOf(controlPlane.port, protocol));
  await untilSynced(envoy, controlPlane.engine);
  await assertAllAccepted(envoy);
  await eventually(() => assertDumpMatchesStatus(envoy, controlPlane.engine, protocol), SYNC_MS);
  for (const [what, mesh] of CHANGES) {
    await t.test(`after ${what}`, async () => {
      await controlPlane.apply(mesh);
      await untilSynced(envoy, controlPlane.engine);
      await assertAllAccepted(envoy);
      await eventually(() => assertDumpMatchesStatus(envoy, controlPlane.engine, protocol), SYNC_MS);
    });
  }
}

/** A pod of the `loopback` sandbox: an address of its own, on which no other test listens. */
const UNCAPTURED: Identity = {
  address: '127.93.1.1',
  metadata: {
    INTERCEPTION_MODE: 'NONE',
    APP_ADDRESS: '127.93.129.1',
    POD_PORTS: '[{"containerPort":8080},{"containerPort":9090}]',
  },
};

test('Envoy accepts what a pod without interception gets, and serves as its explicit proxy', async (t) => {
  const executable = needPeer(t, 'envoy');
  if (executable === undefined) return;
  const proxyHttpPort = await freePort();
  const meshConfig = { ...HELLOWORLD_MESH.meshConfig, proxyHttpPort };
  await using controlPlane = await startControlPlane({ ...HELLOWORLD_MESH, meshConfig });
  await using envoy = await startEnvoy(executable, bootstrapOf(controlPlane.port, 'delta', UNCAPTURED));
  await untilSynced(envoy, controlPlane.engine);
  await assertAllAccepted(envoy);
  await eventually(() => assertDumpMatchesStatus(envoy, controlPlane.engine, 'delta'), SYNC_MS);
  const { listeners } = await dumpedVersions(envoy);
  const bound = [8080, 9090, proxyHttpPort].map((port) => `${UNCAPTURED.address}_${port}`);
  assert.deepEqual([...listeners.keys()].sort(), bound.sort());
  const statusOf = (url: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const options = {
        host: UNCAPTURED.address,
        port: proxyHttpPort,
        path: url,
        headers: { host: new URL(url).host },
      };
      get({ ...options, agent: false }, (response) => resolve(response.resume().statusCode)).on('error', reject);
    });
  assert.equal(await statusOf('http://unknown.example/'), 502);
  // Nobody answers at the endpoints of the fixture: the route was found, its cluster could not connect.
  assert.equal(await statusOf('http://sleep.app1/'), 503);
});

const hasIpv6 = Object.values(networkInterfaces()).some((addresses = []) =>
  addresses.some(({ address }) => address === '::1'),
);

for (const [name, addresses] of [
  ['an IPv6 address', 'fd00::9'],
  ['addresses of both families', '10.11.0.9,fd00::9'],
] as const) {
  test(`Envoy accepts what a pod with ${name} gets, and listens there`, {
    skip: hasIpv6 ? false : 'IPv6 is switched off; set net.ipv6.conf.lo.disable_ipv6=0',
  }, async (t) => {
    const executable = needPeer(t, 'envoy');
    if (executable === undefined) return;
    await using controlPlane = await startControlPlane(HELLOWORLD_MESH);
    const [address = ''] = addresses.split(',');
    const identity = { address, metadata: { INSTANCE_IPS: addresses } };
    await using envoy = await startEnvoy(executable, bootstrapOf(controlPlane.port, 'delta', identity));
    await untilSynced(envoy, controlPlane.engine);
    await assertAllAccepted(envoy);
    await eventually(() => assertDumpMatchesStatus(envoy, controlPlane.engine, 'delta'), SYNC_MS);
  });
}

test('Envoy accepts what a router gets, and serves the hosts of its Gateways', async (t) => {
  const executable = needPeer(t, 'envoy');
  if (executable === undefined) return;
  const [httpPort, tlsPort, tcpPort] = [await freePort(), await freePort(), await freePort()];
  const hosts = ['hello.example'];
  const server = (number: number, protocol: string, rest: object) => ({
    port: { number, protocol, name: `p${number}` },
    hosts,
    ...rest,
  });
  const inApp1 = { namespace: 'app1' };
  const destination = { host: 'helloworld.app1.svc.cluster.local' };
  const servers = [
    server(httpPort, 'HTTP', {}),
    server(tlsPort, 'HTTPS', { tls: { mode: 'ISTIO_MUTUAL' } }),
    server(tlsPort, 'TLS', { hosts: ['*.through.example'], tls: { mode: 'PASSTHROUGH' } }),
    server(tcpPort, 'TCP', { hosts: ['*'] }),
  ];
  const routes = {
    hosts: ['hello.example', 'a.through.example'],
    gateways: ['edge'],
    http: [{ match: [{ uri: { prefix: '/hello' } }], route: [{ destination }] }],
    tls: [{ match: [{ sniHosts: ['a.through.example'] }], route: [{ destination }] }],
    tcp: [{ match: [{ port: tcpPort }], route: [{ destination }] }],
  };
  const configs = [
    fixtureConfig('Gateway', 'edge', { selector: { istio: 'edge' }, servers }, inApp1),
    fixtureConfig('VirtualService', 'edge', routes, inApp1),
  ];
  await using controlPlane = await startControlPlane({ ...HELLOWORLD_MESH, configs });
  const router: Identity = { type: 'router', address: '127.0.0.1', metadata: {}, labels: { istio: 'edge' } };
  await using envoy = await startEnvoy(executable, bootstrapOf(controlPlane.port, 'delta', router));
  await untilSynced(envoy, controlPlane.engine);
  await assertAllAccepted(envoy);
  await eventually(() => assertDumpMatchesStatus(envoy, controlPlane.engine, 'delta'), SYNC_MS);
  const { listeners } = await dumpedVersions(envoy);
  const expected = [httpPort, tlsPort, tcpPort].map((port) => `0.0.0.0_${port}`);
  assert.deepEqual([...listeners.keys()].sort(), expected.sort());
  const statusOf = (host: string, path: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      get({ host: '127.0.0.1', port: httpPort, path, headers: { host }, agent: false }, (response) =>
        resolve(response.resume().statusCode),
      ).on('error', reject);
    });
  assert.equal(await statusOf('unknown.example', '/hello'), 404);
  assert.equal(await statusOf('hello.example', '/other'), 404);
  // Nobody answers at the endpoints of the fixture: the route was found, its cluster could not connect.
  assert.equal(await statusOf('hello.example', '/hello'), 503);
  assert.equal(await statusOf(`hello.example:${httpPort}`, '/hello'), 503);
});

test('Envoy accepts every resource over delta ADS, and shows the versions of the server', (t) =>
  driveEnvoy(t, 'delta'));
test('Envoy accepts every resource over state-of-the-world ADS, and shows the versions of the server', (t) =>
  driveEnvoy(t, 'sotw'));
