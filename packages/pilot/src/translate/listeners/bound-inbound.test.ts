import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EnvoyJson, translateToJson } from '../../testing/envoy-json.ts';
import { fixtureConfig } from '../../testing/mesh-fixture.ts';

const POD = '127.11.1.5';
const APP = '127.11.129.5';
const NODE = {
  addresses: [POD],
  interceptionMode: 'NONE',
  application: { address: APP, ports: [5000, 7000] },
} as const;
const MESH = {
  services: [
    {
      name: 'app',
      vip: '127.111.0.10',
      ports: [{ name: 'http', number: 80, target: 5000 }],
      endpoints: [{ address: POD }],
    },
    { name: 'unbound', vip: '127.111.0.11', ports: [{ name: 'http', number: 90 }], endpoints: [{ address: POD }] },
  ],
  configs: [fixtureConfig('PeerAuthentication', 'pa', { mtls: { mode: 'STRICT' } })],
};

test('without interception the declared ports are bound on the pod address, and no other socket', () => {
  const { listeners } = translateToJson(MESH, NODE);
  assert.deepEqual([...listeners.keys()], [`${POD}_5000`, `${POD}_7000`]);
  for (const [name, { address, bind_to_port }] of listeners) {
    assert.equal(`${address.socket_address.address}_${address.socket_address.port_value}`, name);
    assert.notEqual(bind_to_port, false);
  }
});

test('a bound port ends mutual TLS as a captured one does, and hands the request to the application address', () => {
  const { listeners, clusters } = translateToJson(MESH, NODE);
  const chains = listeners.get(`${POD}_5000`).filter_chains;
  assert.equal(chains.length, 1);
  assert.equal(chains[0].filter_chain_match.transport_protocol, 'tls');
  assert.equal(chains[0].filter_chain_match.destination_port, undefined);
  assert.ok(chains[0].transport_socket !== undefined);
  const manager = chains[0].filters.at(-1).typed_config;
  assert.equal(manager.route_config.virtual_hosts[0].routes[0].route.cluster, 'inbound|5000||');
  const cluster = clusters.get('inbound|5000||');
  assert.equal(cluster.type ?? 'STATIC', 'STATIC');
  assert.deepEqual(cluster.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address, {
    address: APP,
    port_value: 5000,
  });
});

test('a declared port without a service is served with a detected protocol', () => {
  const { listeners } = translateToJson(MESH, NODE);
  assert.deepEqual(
    listeners.get(`${POD}_7000`).listener_filters.map(({ name }: EnvoyJson) => name),
    ['envoy.filters.listener.tls_inspector', 'envoy.filters.listener.http_inspector'],
  );
});

test('without interception and without an application address nothing listens', () => {
  assert.equal(translateToJson(MESH, { addresses: [POD], interceptionMode: 'NONE' }).listeners.size, 0);
});

test('proxyHttpPort opens an explicit proxy whose routes go by name and port, and refuse unknown hosts', () => {
  const { listeners, routes } = translateToJson({ ...MESH, meshConfig: { proxyHttpPort: 15_080 } }, NODE);
  const listener = listeners.get(`${POD}_15080`);
  assert.equal(listener.address.socket_address.address, POD);
  const manager = listener.filter_chains[0].filters[0].typed_config;
  assert.equal(manager.rds.route_config_name, 'http_proxy');
  assert.equal(manager.http_protocol_options.allow_absolute_url, true);
  const configuration = routes.get('http_proxy');
  assert.notEqual(configuration.ignore_port_in_host_matching, true);
  const domainsOf = (name: string): readonly string[] =>
    configuration.virtual_hosts.find((host: EnvoyJson) => host.name === name).domains;
  const onPort80 = domainsOf('app.default.svc.cluster.local:80');
  assert.ok(onPort80.includes('app') && onPort80.includes('app:80') && onPort80.includes('127.111.0.10:80'));
  assert.ok(domainsOf('unbound.default.svc.cluster.local:90').every((domain) => domain.endsWith(':90')));
  const last = configuration.virtual_hosts.at(-1);
  assert.deepEqual([last.domains, last.routes[0].direct_response.status], [['*'], 502]);
});

test('a captured sidecar offers the explicit proxy on its loopback address', () => {
  const { listeners } = translateToJson({ ...MESH, meshConfig: { proxyHttpPort: 15_080 } });
  assert.ok(listeners.has('127.0.0.1_15080') && listeners.has('virtualInbound'));
});
