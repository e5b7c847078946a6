import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GatewaySpec, VirtualServiceSpec } from '@meltemi/api';
import type { ConfigResource } from '@meltemi/model';
import { type EnvoyJson, type SidecarJson, translateToJson } from '../testing/envoy-json.ts';
import { type FixtureService, fixtureConfig } from '../testing/mesh-fixture.ts';
import type { ProxyNode } from './proxy-node.ts';

const INGRESS: Partial<ProxyNode> = {
  type: 'router',
  id: 'ingress-1.default',
  addresses: ['10.11.0.80'],
  labels: { istio: 'ingress' },
};

const SERVICES: readonly FixtureService[] = [
  { name: 'reviews', vip: '10.111.0.10', ports: [{ name: 'http', number: 9080 }] },
  { name: 'ratings', vip: '10.111.0.11', ports: [{ name: 'http', number: 9080 }] },
  { name: 'db', vip: '10.111.0.12', ports: [{ name: 'tcp', number: 5432 }] },
  {
    name: 'ingress',
    vip: '10.111.0.80',
    ports: [
      { name: 'http', number: 80, target: 8080 },
      { name: 'https', number: 443, target: 8443 },
    ],
    endpoints: [{ address: '10.11.0.80' }],
  },
];

type Server = NonNullable<GatewaySpec['servers']>[number];

function http(...hosts: readonly string[]): Server {
  return { port: { number: 80, protocol: 'HTTP', name: 'http' }, hosts };
}

function tls(mode: NonNullable<Server['tls']>['mode'], protocol: string, ...hosts: readonly string[]): Server {
  return { port: { number: 443, protocol, name: 'https' }, hosts, tls: mode === undefined ? {} : { mode } };
}

function gateway(name: string, servers: readonly Server[], rest: Partial<ConfigResource<GatewaySpec>> = {}) {
  return fixtureConfig<GatewaySpec>('Gateway', name, { selector: { istio: 'ingress' }, servers }, rest);
}

function virtualService(
  name: string,
  spec: VirtualServiceSpec,
  rest: Partial<ConfigResource<VirtualServiceSpec>> = {},
) {
  return fixtureConfig<VirtualServiceSpec>('VirtualService', name, spec, rest);
}

const to = (host: string) => [{ destination: { host } }];

function translate(configs: readonly ConfigResource[], node: Partial<ProxyNode> = {}): SidecarJson {
  return translateToJson({ services: SERVICES, configs }, { ...INGRESS, ...node });
}

/** Virtual hosts by name, with their domains and the clusters that their routes lead to. */
function hostsOf(router: SidecarJson, routes: string): Readonly<Record<string, readonly unknown[]>> {
  const hosts: readonly EnvoyJson[] = router.routes.get(routes)?.virtual_hosts ?? [];
  return Object.fromEntries(
    hosts.map(({ name, domains, routes: list = [] }) => [
      name,
      [domains, ...list.map(({ route }: EnvoyJson) => route?.cluster)],
    ]),
  );
}

const REVIEWS = 'outbound|9080||reviews.default.svc.cluster.local';
const RATINGS = 'outbound|9080||ratings.default.svc.cluster.local';

test('PILOT-46 a Gateway on port 80 listens on the target of the Service, and routes as the VirtualService says', () => {
  const router = translate([
    gateway('web', [http('reviews.example')]),
    virtualService('reviews', { hosts: ['reviews.example'], gateways: ['web'], http: [{ route: to('reviews') }] }),
  ]);
  assert.deepEqual([...router.listeners.keys()], ['0.0.0.0_8080']);
  const [chain, ...others] = router.listeners.get('0.0.0.0_8080')?.filter_chains ?? [];
  const manager = chain?.filters.at(-1)?.typed_config;
  assert.equal(others.length, 0);
  assert.equal(manager?.rds.route_config_name, 'http.8080');
  assert.deepEqual([manager?.use_remote_address, manager?.stat_prefix], [true, 'outbound_0.0.0.0_8080;']);
  assert.deepEqual([...router.routes.keys()], ['http.8080']);
  assert.deepEqual(hostsOf(router, 'http.8080'), { 'reviews.example:80': [['reviews.example'], REVIEWS] });
});

test('A router whose pod has an IPv6 address listens there', () => {
  const addressOf = (...addresses: readonly string[]): EnvoyJson =>
    [...translate([gateway('web', [http('a.example')])], { addresses }).listeners.values()][0]?.address.socket_address;
  assert.deepEqual(addressOf('fd00::80'), { address: '::', port_value: 80 });
  assert.deepEqual(addressOf('fd00::80', '10.11.0.80'), { address: '::', port_value: 80, ipv4_compat: true });
});

test('A router has the clusters of all services and of nowhere, and none of the listeners of a sidecar', () => {
  const router = translate([]);
  assert.ok(router.clusters.has(REVIEWS) && router.clusters.has('BlackHoleCluster'));
  assert.ok(![...router.clusters.keys()].some((name) => /Passthrough|^inbound/.test(name)));
  assert.deepEqual([router.listeners.size, router.routes.size], [0, 0]);
});

test('A Gateway that nobody routes for answers nothing, and one for other proxies is not there', () => {
  const router = translate([gateway('web', [http('a.example')])]);
  assert.deepEqual(hostsOf(router, 'http.8080'), { 'blackhole:80': [['*']] });
  assert.equal(translate([gateway('web', [http('*')])], { labels: { istio: 'egress' } }).listeners.size, 0);
});

test('Hosts meet where both patterns cover them, and only for the namespaces that a server admits', () => {
  const elsewhere = { namespace: 'other' };
  const router = translate([
    gateway('web', [http('*.example', 'other/only.test', './own.test')]),
    virtualService('wide', { hosts: ['*'], gateways: ['web'], http: [{ route: to('reviews') }] }),
    virtualService('narrow', { hosts: ['a.example'], gateways: ['default/web'], http: [{ route: to('ratings') }] }),
    virtualService(
      'foreign',
      {
        hosts: ['only.test', 'own.test'],
        gateways: ['default/web'],
        http: [{ route: to('reviews.default.svc.cluster.local') }],
      },
      elsewhere,
    ),
    virtualService('mesh only', { hosts: ['b.example'], http: [{ route: to('ratings') }] }),
    virtualService('old', { hosts: ['c.example'], gateways: ['web.default.svc'], http: [{ route: to('ratings') }] }),
  ]);
  assert.deepEqual(hostsOf(router, 'http.8080'), {
    '*.example:80': [['*.example'], REVIEWS],
    'a.example:80': [['a.example'], RATINGS],
    'c.example:80': [['c.example'], RATINGS],
    'only.test:80': [['only.test'], REVIEWS],
    'own.test:80': [['own.test'], REVIEWS],
  });
});

test('Several VirtualServices of one host are joined, what takes everything last; matches may name gateways', () => {
  const router = translate([
    gateway('web', [http('a.example')]),
    virtualService('all', { hosts: ['a.example'], gateways: ['web'], http: [{ route: to('reviews') }] }),
    virtualService('some', {
      hosts: ['a.example'],
      gateways: ['web', 'mesh'],
      http: [
        { match: [{ uri: { prefix: '/mesh' }, gateways: ['mesh'] }], route: to('db') },
        { match: [{ uri: { prefix: '/ratings' }, gateways: ['./web'] }], route: to('ratings') },
      ],
    }),
  ]);
  const [host] = router.routes.get('http.8080')?.virtual_hosts ?? [];
  assert.deepEqual(
    host?.routes.map(({ match, route }: EnvoyJson) => [match.prefix, route.cluster]),
    [
      ['/ratings', RATINGS],
      ['/', REVIEWS],
    ],
  );
});

test('httpsRedirect sends everything of its hosts to HTTPS, also without a VirtualService', () => {
  const router = translate([gateway('web', [{ ...http('a.example'), tls: { httpsRedirect: true } }])]);
  const [host] = router.routes.get('http.8080')?.virtual_hosts ?? [];
  assert.deepEqual([host?.name, host?.require_tls], ['a.example:80', 'ALL']);
});

test('Gateways that select one router are merged: HTTP with HTTP, TLS of other hosts, and of TCP the first', () => {
  const later = { creationTimestampMs: 2000 };
  const tcp: Server = { port: { number: 80, protocol: 'TCP', name: 'tcp' }, hosts: ['*'] };
  const routed = (name: string, gatewayName: string) =>
    virtualService(name, { hosts: [`${name}.example`], gateways: [gatewayName], http: [{ route: to('reviews') }] });
  const router = translate([
    gateway('one', [http('a.example'), tls('ISTIO_MUTUAL', 'HTTPS', 'a.example')]),
    gateway('two', [http('b.example'), tls('ISTIO_MUTUAL', 'HTTPS', 'a.example'), tcp], later),
    routed('a', 'one'),
    routed('b', 'two'),
  ]);
  assert.deepEqual([...router.listeners.keys()], ['0.0.0.0_8080', '0.0.0.0_8443']);
  assert.deepEqual(Object.keys(hostsOf(router, 'http.8080')), ['a.example:80', 'b.example:80']);
  assert.deepEqual([...router.routes.keys()], ['http.8080', 'https.443.https.one.default']);
  const chains: readonly EnvoyJson[] = router.listeners.get('0.0.0.0_8443')?.filter_chains ?? [];
  assert.deepEqual(
    chains.map(({ filter_chain_match, filters, transport_socket }) => [
      filter_chain_match.server_names,
      filters.at(-1).typed_config.rds.route_config_name,
      transport_socket.name,
    ]),
    [[['a.example'], 'https.443.https.one.default', 'envoy.transport_sockets.tls']],
  );
});

test('PASSTHROUGH carries connections by the name that they ask for, TCP all of them', () => {
  const tcp: Server = { port: { number: 5432, protocol: 'TCP', name: 'db' }, hosts: ['*'] };
  const router = translate([
    gateway('edge', [tls('PASSTHROUGH', 'TLS', '*.example'), tcp]),
    virtualService('named', {
      hosts: ['a.example'],
      gateways: ['edge'],
      tls: [{ match: [{ port: 443, sniHosts: ['a.example'] }], route: to('reviews') }],
    }),
    virtualService(
      'again',
      {
        hosts: ['a.example'],
        gateways: ['edge'],
        tls: [{ match: [{ sniHosts: ['a.example'] }], route: to('ratings') }],
      },
      { creationTimestampMs: 2000 },
    ),
    virtualService('database', {
      hosts: ['*'],
      gateways: ['edge'],
      tcp: [{ match: [{ port: 5432 }], route: to('db') }],
    }),
  ]);
  const chainsOf = (name: string): readonly unknown[] =>
    (router.listeners.get(name)?.filter_chains ?? []).map(({ filter_chain_match, filters }: EnvoyJson) => [
      filter_chain_match?.server_names,
      filters.at(-1).typed_config.cluster,
    ]);
  assert.deepEqual(chainsOf('0.0.0.0_8443'), [[['a.example'], REVIEWS]]);
  assert.deepEqual(chainsOf('0.0.0.0_5432'), [[undefined, 'outbound|5432||db.default.svc.cluster.local']]);
});

test('PILOT-47 a server with a credential ends TLS by the name of the Secret, for its hosts, with routes of its own', () => {
  const settings = { mode: 'MUTUAL', credentialName: 'c' } as const;
  const router = translate([gateway('web', [{ ...tls('MUTUAL', 'HTTPS', 'a.example', 'b.example'), tls: settings }])]);
  const [chain] = router.listeners.get('0.0.0.0_8443')?.filter_chains ?? [];
  assert.deepEqual(chain?.filter_chain_match.server_names, ['a.example', 'b.example']);
  assert.equal(chain?.filters.at(-1).typed_config.rds.route_config_name, 'https.443.https.web.default');
  const { tls_certificate_sds_secret_configs: own, combined_validation_context: clients } =
    chain?.transport_socket.typed_config.common_tls_context ?? {};
  assert.deepEqual(
    [own.map(({ name }: EnvoyJson) => name), clients.validation_context_sds_secret_config.name],
    [['kubernetes://c'], 'kubernetes://c-cacert'],
  );
});

test('A server with a certificate in files ends TLS by the names under which the agent reads them', () => {
  const files = { serverCertificate: '/etc/certs/tls.crt', privateKey: '/etc/certs/tls.key' };
  const contextOf = (settings: NonNullable<Server['tls']>): EnvoyJson => {
    const router = translate([gateway('web', [{ ...tls('SIMPLE', 'HTTPS', 'a.example'), tls: settings }])]);
    const [chain] = router.listeners.get('0.0.0.0_8443')?.filter_chains ?? [];
    assert.deepEqual(chain?.filter_chain_match.server_names, ['a.example']);
    assert.equal(chain?.filters.at(-1).typed_config.rds.route_config_name, 'https.443.https.web.default');
    return chain?.transport_socket.typed_config;
  };
  const simple = contextOf({ mode: 'SIMPLE', ...files, minProtocolVersion: 'TLSV1_3' });
  const common = simple?.common_tls_context;
  assert.equal(common.tls_certificate_sds_secret_configs[0].name, 'file-cert:/etc/certs/tls.crt~/etc/certs/tls.key');
  assert.deepEqual(
    [common.tls_params.tls_minimum_protocol_version, common.alpn_protocols],
    ['TLSv1_3', ['h2', 'http/1.1']],
  );
  assert.equal(common.combined_validation_context, undefined);
  const clients = { caCertificates: '/etc/certs/ca.crt', subjectAltNames: ['client.example'] };
  for (const [mode, isRequired] of [
    ['MUTUAL', true],
    ['OPTIONAL_MUTUAL', undefined],
  ] as const) {
    const mutual = contextOf({ mode, ...files, ...clients });
    assert.equal(mutual?.require_client_certificate || undefined, isRequired, mode);
    const { default_validation_context: names, validation_context_sds_secret_config: roots } =
      mutual?.common_tls_context.combined_validation_context ?? {};
    assert.equal(roots.name, 'file-root:/etc/certs/ca.crt');
    assert.deepEqual(
      names.match_typed_subject_alt_names.map(({ san_type, matcher }: EnvoyJson) => [san_type, matcher.exact]),
      [
        ['DNS', 'client.example'],
        ['URI', 'client.example'],
      ],
    );
  }
});

test('Ports that a pod may not bind, and servers that cannot be served yet, get no listener', () => {
  const low = gateway('low', [{ ...http('*'), port: { number: 81, protocol: 'HTTP', name: 'http' } }]);
  assert.deepEqual([...translate([low]).listeners.keys()], ['0.0.0.0_81']);
  assert.equal(translate([low], { isUnprivileged: true }).listeners.size, 0);
  assert.equal(translate([gateway('auto', [tls('AUTO_PASSTHROUGH', 'TLS', '*')])]).listeners.size, 0);
});
