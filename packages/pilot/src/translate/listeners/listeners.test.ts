import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EnvoyJson, translateToJson } from '../../testing/envoy-json.ts';
import { type FixturePort, fixtureConfig } from '../../testing/mesh-fixture.ts';
import { ALL_FEATURES } from '../proxy-node.ts';

const ADDRESS = '10.11.0.20';
const MESH_ALPN = ['istio', 'istio-peer-exchange', 'istio-http/1.0', 'istio-http/1.1', 'istio-h2'];
const MESH_HTTP_ALPN = ['istio-http/1.0', 'istio-http/1.1', 'istio-h2'];
const PLAIN_HTTP_ALPN = ['http/1.1', 'h2c'];

function appMesh(port: FixturePort, mode?: 'STRICT' | 'PERMISSIVE' | 'DISABLE') {
  return {
    services: [{ name: 'app', vip: '10.111.0.10', ports: [port], endpoints: [{ address: ADDRESS }] }],
    configs: mode === undefined ? [] : [fixtureConfig('PeerAuthentication', 'pa', { mtls: { mode } })],
  };
}

/** The chains of one inbound port as (transport, ALPN, what it does, whether it ends TLS). */
function inboundChains(port: FixturePort, mode?: 'STRICT' | 'PERMISSIVE' | 'DISABLE'): readonly unknown[] {
  const listener = translateToJson(appMesh(port, mode), { addresses: [ADDRESS] }).listeners.get('virtualInbound');
  return listener.filter_chains
    .filter(({ filter_chain_match: match }: EnvoyJson) => match.destination_port === port.number)
    .map(({ name, filter_chain_match: match, filters, transport_socket }: EnvoyJson) => {
      assert.equal(name, `0.0.0.0_${port.number}`);
      const kind = filters.at(-1).name === 'envoy.filters.network.tcp_proxy' ? 'tcp' : 'http';
      return [match.transport_protocol, match.application_protocols ?? [], kind, transport_socket !== undefined];
    });
}

test('PILOT-05 an unnamed protocol is TCP where servers speak first, else it is detected', () => {
  const sidecar = translateToJson({
    services: [
      {
        name: 'app',
        vip: '10.111.0.10',
        ports: [
          { name: 'foo', number: 3306 },
          { name: 'foo2', number: 8000 },
        ],
      },
    ],
  });
  const plain = sidecar.listeners.get('10.111.0.10_3306');
  assert.equal(plain.filter_chains.length, 1);
  assert.equal(
    plain.filter_chains[0].filters.at(-1).typed_config.cluster,
    'outbound|3306||app.default.svc.cluster.local',
  );
  assert.equal(plain.listener_filters, undefined);
  const detected = sidecar.listeners.get('10.111.0.10_8000');
  assert.equal(
    detected.filter_chains[0].filters[0].typed_config.rds.route_config_name,
    'app.default.svc.cluster.local:8000',
  );
  assert.deepEqual(
    detected.listener_filters.map(({ name }: EnvoyJson) => name),
    ['envoy.filters.listener.tls_inspector', 'envoy.filters.listener.http_inspector'],
  );
  assert.ok(sidecar.routes.has('app.default.svc.cluster.local:8000'));
});

test('PILOT-06 appProtocol goes before the name of a port', () => {
  const h2c = { name: 'tcp-x', number: 7000, appProtocol: 'kubernetes.io/h2c' };
  const sidecar = translateToJson(appMesh(h2c));
  const cluster = sidecar.clusters.get('outbound|7000||app.default.svc.cluster.local');
  const options = cluster.typed_extension_protocol_options['envoy.extensions.upstreams.http.v3.HttpProtocolOptions'];
  assert.ok(options.explicit_http_config.http2_protocol_options);
  assert.ok(sidecar.listeners.has('0.0.0.0_7000'));
});

test('PILOT-34 inbound chains follow the mode and the protocol', () => {
  const http = { name: 'http', number: 8080 };
  const auto = { name: 'x', number: 8080 };
  const tcp = { name: 'tcp', number: 8080 };
  assert.deepEqual(inboundChains(http, 'STRICT'), [['tls', [], 'http', true]]);
  assert.deepEqual(inboundChains(http), [
    ['tls', MESH_ALPN, 'http', true],
    ['raw_buffer', [], 'http', false],
  ]);
  assert.deepEqual(inboundChains(auto, 'PERMISSIVE'), [
    ['tls', MESH_HTTP_ALPN, 'http', true],
    ['raw_buffer', PLAIN_HTTP_ALPN, 'http', false],
    ['tls', ['istio-peer-exchange', 'istio'], 'tcp', true],
    ['raw_buffer', [], 'tcp', false],
    ['tls', [], 'tcp', false],
  ]);
  assert.deepEqual(inboundChains(auto, 'STRICT'), [
    ['tls', MESH_HTTP_ALPN, 'http', true],
    ['tls', [], 'tcp', true],
  ]);
  assert.deepEqual(inboundChains(tcp, 'PERMISSIVE'), [
    ['tls', MESH_ALPN, 'tcp', true],
    ['tls', [], 'tcp', false],
    ['raw_buffer', [], 'tcp', false],
  ]);
  assert.deepEqual(inboundChains(tcp, 'DISABLE'), [['raw_buffer', [], 'tcp', false]]);
});

test('The passthrough chains of STRICT accept no plain text either', () => {
  const listener = translateToJson(appMesh({ name: 'http', number: 8080 }, 'STRICT'), {
    addresses: [ADDRESS],
  }).listeners.get('virtualInbound');
  const [blackHole, ...others] = listener.filter_chains;
  assert.equal(blackHole.filter_chain_match.destination_port, 15006);
  for (const { filter_chain_match, transport_socket } of others) {
    assert.equal(filter_chain_match.transport_protocol, 'tls');
    assert.ok(transport_socket.typed_config.require_client_certificate);
  }
});

test('Each other pod of a headless TCP service has a listener', () => {
  const sidecar = translateToJson(
    {
      services: [
        {
          name: 'peers',
          headless: true,
          ports: [{ name: 'tcp', number: 7946 }],
          endpoints: [
            { address: '10.11.0.1' },
            { address: '10.11.0.2' },
            { address: '10.11.0.3', health: 'terminating' },
            { address: ADDRESS },
          ],
        },
      ],
    },
    { addresses: [ADDRESS] },
  );
  const names = [...sidecar.listeners.keys()].filter((name) => name.endsWith('_7946'));
  assert.deepEqual(names, ['10.11.0.1_7946', '10.11.0.2_7946']);
  assert.equal(sidecar.clusters.get('outbound|7946||peers.default.svc.cluster.local').type, 'ORIGINAL_DST');
});

test('Filters that a proxy was not built with are left out', () => {
  const names = (features: typeof ALL_FEATURES) => {
    const listener = translateToJson(appMesh({ name: 'http', number: 8080 }), { features }).listeners.get(
      '0.0.0.0_8080',
    );
    return listener.filter_chains[0].filters[0].typed_config.http_filters.map(({ name }: EnvoyJson) => name);
  };
  assert.deepEqual(names(ALL_FEATURES), [
    'istio.metadata_exchange',
    'envoy.filters.http.grpc_stats',
    'istio.alpn',
    'envoy.filters.http.fault',
    'envoy.filters.http.cors',
    'istio.stats',
    'envoy.filters.http.router',
  ]);
  const none = { ...ALL_FEATURES, httpPeerMetadata: false, alpnOverride: false, httpStats: false };
  assert.deepEqual(names(none), [
    'envoy.filters.http.grpc_stats',
    'envoy.filters.http.fault',
    'envoy.filters.http.cors',
    'envoy.filters.http.router',
  ]);
});

test('TCP connections are spread by the client address where the rule says so', () => {
  const rule = (consistentHash: object) =>
    fixtureConfig('DestinationRule', 'app', {
      host: 'app.default.svc.cluster.local',
      trafficPolicy: { loadBalancer: { consistentHash } },
    });
  const policyOf = (consistentHash: object): unknown => {
    const mesh = { ...appMesh({ name: 'tcp', number: 3000 }), configs: [rule(consistentHash)] };
    const { filter_chains: chains } = translateToJson(mesh).listeners.get('10.111.0.10_3000');
    return chains[0].filters.at(-1).typed_config.hash_policy;
  };
  assert.deepEqual(policyOf({ useSourceIp: true }), [{ source_ip: {} }]);
  assert.equal(policyOf({ httpHeaderName: 'x' }), undefined);
});

test('only a proxy that captures by TPROXY gets a transparent inbound listener, which calls the application as its client', () => {
  const inbound = (interceptionMode: 'REDIRECT' | 'TPROXY') =>
    translateToJson(appMesh({ name: 'http', number: 8000 }), { addresses: [ADDRESS], interceptionMode }).listeners.get(
      'virtualInbound',
    );
  const sourceOf = (listener: ReturnType<typeof inbound>) =>
    listener.listener_filters.find(({ name }: { name: string }) => name === 'envoy.filters.listener.original_src')
      ?.typed_config.mark;
  assert.equal(inbound('REDIRECT').transparent, undefined);
  assert.equal(sourceOf(inbound('REDIRECT')), undefined);
  assert.equal(inbound('TPROXY').transparent, true);
  assert.equal(sourceOf(inbound('TPROXY')), 1337);
});

test("the families of the pod's addresses choose where its listeners are, and whence its application is called", () => {
  const of = (...addresses: readonly string[]) => {
    const mesh = appMesh({ name: 'http', number: 8000 });
    const { listeners, clusters } = translateToJson(
      {
        ...mesh,
        services: mesh.services.map((service) => ({ ...service, endpoints: [{ address: addresses[0] ?? '' }] })),
      },
      { addresses },
    );
    const socketOf = (name: string) => listeners.get(name)?.address.socket_address;
    const { source_address: source, extra_source_addresses: others = [] } =
      clusters.get('inbound|8000||')?.upstream_bind_config ?? {};
    return {
      capture: ['virtualInbound', 'virtualOutbound'].map(socketOf),
      outbound: [...listeners.keys()].find((name) => name.endsWith('_8000')),
      sources: [source, ...others.map(({ address }: EnvoyJson) => address)].map(({ address }) => address),
      passthrough: clusters.get('InboundPassthroughCluster')?.upstream_bind_config.source_address.address,
    };
  };
  const at = (address: string, more = {}) => [15_006, 15_001].map((port_value) => ({ address, port_value, ...more }));
  assert.deepEqual(of('10.0.0.7'), {
    capture: at('0.0.0.0'),
    outbound: '0.0.0.0_8000',
    sources: ['127.0.0.6'],
    passthrough: '127.0.0.6',
  });
  assert.deepEqual(of('fd00::7'), {
    capture: at('::'),
    outbound: '::_8000',
    sources: ['::6'],
    passthrough: '::6',
  });
  assert.deepEqual(of('fd00::7', '10.0.0.7'), {
    capture: at('::', { ipv4_compat: true }),
    outbound: '0.0.0.0_8000',
    sources: ['127.0.0.6', '::6'],
    passthrough: '127.0.0.6',
  });
});
