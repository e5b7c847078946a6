/** What pilot can say, our proxy must take: every feature of the rules, translated and compiled. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import type { DestinationRuleSpec, HTTPRoute, VirtualServiceSpec } from '@meltemi/api';
import { createTranslationMemo, type Translated, translateProxy } from '@meltemi/pilot/translate';
import { ClusterSchema } from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '@meltemi/xds/types/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '@meltemi/xds/types/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@meltemi/xds/types/envoy/config/route/v3/route_pb.js';
import {
  fixtureConfig,
  fixtureNode,
  fixtureSnapshot,
  HELLOWORLD_MESH,
} from '../../packages/pilot/src/testing/mesh-fixture.ts';
import { compileCluster } from '../../packages/proxy/src/compile/cluster.ts';
import { compiling } from '../../packages/proxy/src/compile/compile-error.ts';
import { compileEndpoints } from '../../packages/proxy/src/compile/endpoints.ts';
import { compileListener } from '../../packages/proxy/src/compile/listener.ts';
import { compileRouteConfig } from '../../packages/proxy/src/compile/route.ts';
import { createBreakerSlots } from '../../packages/proxy/src/config/breaker-slots.ts';
import { createAuthorityFixture } from '../../packages/proxy/src/testing/authority-fixture.ts';

const NAMESPACE = { namespace: 'app1' };
const HTTP_DESTINATION = { host: 'helloworld', port: { number: 5000 } };
let folder: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'meltemi-pilot-proxy-'));
});

after(() => rmSync(folder, { recursive: true, force: true }));

type TrafficPolicy = NonNullable<DestinationRuleSpec['trafficPolicy']>;

/** One rule per way of calling a host; each becomes a service of its own, with a port of every protocol. */
const POLICIES: Readonly<Record<string, () => TrafficPolicy>> = {
  'round-robin': () => ({ loadBalancer: { simple: 'ROUND_ROBIN', warmup: { duration: '10s', aggression: 1.5 } } }),
  'least-request': () => ({ loadBalancer: { simple: 'LEAST_REQUEST', warmupDurationSecs: '10s' } }),
  random: () => ({ loadBalancer: { simple: 'RANDOM' } }),
  passthrough: () => ({ loadBalancer: { simple: 'PASSTHROUGH' } }),
  'ring-header': () => ({
    loadBalancer: { consistentHash: { httpHeaderName: 'x-user', ringHash: { minimumRingSize: 2048 } } },
  }),
  'ring-cookie': () => ({
    loadBalancer: {
      consistentHash: {
        httpCookie: { name: 'c', path: '/', ttl: '10s', attributes: [{ name: 'SameSite', value: 'Strict' }] },
        minimumRingSize: 512,
      },
    },
  }),
  'maglev-address': () => ({ loadBalancer: { consistentHash: { useSourceIp: true, maglev: { tableSize: 1009 } } } }),
  'maglev-query': () => ({ loadBalancer: { consistentHash: { httpQueryParameterName: 'q', maglev: {} } } }),
  pool: () => ({
    connectionPool: {
      tcp: {
        maxConnections: 10,
        connectTimeout: '2s',
        idleTimeout: '20s',
        maxConnectionDuration: '60s',
        tcpKeepalive: { probes: 3, time: '60s', interval: '5s' },
      },
      http: {
        http1MaxPendingRequests: 1,
        http2MaxRequests: 2,
        maxRequestsPerConnection: 3,
        maxRetries: 4,
        idleTimeout: '5s',
        maxConcurrentStreams: 6,
      },
    },
  }),
  upgrade: () => ({ connectionPool: { http: { h2UpgradePolicy: 'UPGRADE' } } }),
  'client-protocol': () => ({ connectionPool: { http: { useClientProtocol: true } } }),
  outliers: () => ({
    outlierDetection: {
      consecutive5xxErrors: 1,
      consecutiveGatewayErrors: 2,
      splitExternalLocalOriginErrors: true,
      consecutiveLocalOriginFailures: 3,
      interval: '1s',
      baseEjectionTime: '2s',
      maxEjectionPercent: 100,
      minHealthPercent: 50,
    },
  }),
  plain: () => ({ tls: { mode: 'DISABLE' } }),
  mesh: () => ({ tls: { mode: 'ISTIO_MUTUAL', sni: 'x', subjectAltNames: ['spiffe://a/ns/b/sa/c'] } }),
  simple: () => ({ tls: { mode: 'SIMPLE' } }),
  'simple-names': () => ({ tls: { mode: 'SIMPLE', sni: 'x', subjectAltNames: ['x', 'spiffe://a/ns/b/sa/c'] } }),
  'simple-unverified': () => ({ tls: { mode: 'SIMPLE', insecureSkipVerify: true } }),
  mutual: () => ({
    tls: {
      mode: 'MUTUAL',
      clientCertificate: join(folder, 'leaf.crt'),
      privateKey: join(folder, 'leaf.key'),
      caCertificates: join(folder, 'ca.crt'),
    },
  }),
  ports: () => ({
    tls: { mode: 'ISTIO_MUTUAL' },
    portLevelSettings: [
      { port: { number: 80 }, loadBalancer: { consistentHash: { httpHeaderName: 'x' } }, tls: { mode: 'SIMPLE' } },
    ],
  }),
};

const HTTP_ROUTES: readonly HTTPRoute[] = [
  {
    name: 'matches',
    match: [
      { name: 'exact', uri: { exact: '/a' }, scheme: { exact: 'http' }, method: { regex: 'GET|POST' } },
      { uri: { prefix: '/b' }, ignoreUriCase: true, authority: { prefix: 'hello' }, port: 5000 },
      { uri: { regex: '/c/[0-9]+' }, queryParams: { a: { exact: '1' }, b: { prefix: 'x' }, c: {} }, statPrefix: 'c' },
      { headers: { a: { exact: '1' }, b: { prefix: '1' }, c: { regex: '.*x' }, d: {} } },
      { withoutHeaders: { a: { exact: '1' }, b: {} }, sourceNamespace: 'app1', gateways: ['mesh'] },
    ],
    route: [{ destination: HTTP_DESTINATION }],
  },
  ...[301, 302, 303, 307, 308].map(
    (redirectCode): HTTPRoute => ({
      match: [{ uri: { exact: `/redirect/${redirectCode}` } }],
      redirect: { redirectCode, uri: '/new', authority: 'new.example', scheme: 'https', port: 8443 },
    }),
  ),
  { match: [{ uri: { prefix: '/redirect/prefix' } }], redirect: { prefixRewrite: '/new' } },
  { match: [{ uri: { prefix: '/redirect/port' } }], redirect: { derivePort: 'FROM_REQUEST_PORT' } },
  { match: [{ uri: { exact: '/answer' } }], directResponse: { status: 200, body: { string: 'ok' } } },
  { match: [{ uri: { exact: '/bytes' } }], directResponse: { status: 200, body: { bytes: 'b2s=' } } },
  {
    match: [{ uri: { prefix: '/rewrite' } }],
    rewrite: { uri: '/', authority: 'other' },
    route: [{ destination: HTTP_DESTINATION, headers: { request: { set: { host: 'x' } } } }],
  },
  {
    match: [{ uri: { regex: '/x/.*' } }],
    rewrite: { uri: '/y' },
    route: [{ destination: HTTP_DESTINATION }],
  },
  {
    match: [{ uri: { prefix: '/regex' } }],
    rewrite: { uriRegexRewrite: { match: '/regex/([^/]+)', rewrite: '/\\1' } },
    route: [{ destination: HTTP_DESTINATION }],
  },
  {
    match: [{ uri: { prefix: '/retry' } }],
    timeout: '3s',
    retries: {
      attempts: 5,
      perTryTimeout: '1s',
      retryOn: '5xx,gateway-error,reset,connect-failure,refused-stream,retriable-4xx,cancelled,503,unavailable',
      retryIgnorePreviousHosts: true,
      backoff: '10ms',
    },
    route: [{ destination: HTTP_DESTINATION }],
  },
  { match: [{ uri: { prefix: '/no-retry' } }], retries: { attempts: 0 }, route: [{ destination: HTTP_DESTINATION }] },
  {
    match: [{ uri: { prefix: '/fault' } }],
    fault: {
      delay: { fixedDelay: '1s', percentage: { value: 10 } },
      abort: { httpStatus: 503, percentage: { value: 0.5 } },
    },
    route: [{ destination: HTTP_DESTINATION }],
  },
  {
    match: [{ uri: { prefix: '/grpc-fault' } }],
    fault: { abort: { grpcStatus: 'UNAVAILABLE', percentage: { value: 100 } } },
    route: [{ destination: HTTP_DESTINATION }],
  },
  {
    match: [{ uri: { prefix: '/mirror' } }],
    mirrors: [{ destination: HTTP_DESTINATION, percentage: { value: 50 } }, { destination: HTTP_DESTINATION }],
    route: [{ destination: HTTP_DESTINATION }],
  },
  {
    match: [{ uri: { prefix: '/cors' } }],
    corsPolicy: {
      allowOrigins: [{ exact: 'https://a' }, { prefix: 'https://b' }, { regex: 'https://c.*' }],
      allowMethods: ['GET'],
      allowHeaders: ['x'],
      exposeHeaders: ['y'],
      maxAge: '1h',
      allowCredentials: true,
      unmatchedPreflights: 'IGNORE',
    },
    route: [{ destination: HTTP_DESTINATION }],
  },
  {
    headers: {
      request: { set: { a: '%PROTOCOL%' }, add: { b: '1' }, remove: ['c'] },
      response: { set: { d: '1' }, add: { e: '%RESPONSE_CODE%' }, remove: ['f'] },
    },
    route: Object.keys(POLICIES).map((host) => ({
      destination: { host, port: { number: 80 } },
      weight: 1,
      headers: { request: { add: { 'x-weighted': host } }, response: { remove: ['g'] } },
    })),
  },
];

function virtualService(name: string, spec: VirtualServiceSpec) {
  return fixtureConfig<VirtualServiceSpec>('VirtualService', name, spec, NAMESPACE);
}

function richMesh(meshConfig: NonNullable<typeof HELLOWORLD_MESH.meshConfig>) {
  const names = Object.keys(POLICIES);
  return fixtureSnapshot({
    meshConfig,
    services: [
      ...(HELLOWORLD_MESH.services ?? []),
      ...names.map((name, index) => ({
        name,
        namespace: 'app1',
        vip: `10.111.1.${index + 1}`,
        serviceAccounts: ['spiffe://cluster.local/ns/app1/sa/default'],
        ports: [
          { name: 'http', number: 80 },
          { name: 'http2', number: 81 },
          { name: 'grpc', number: 82 },
          { name: 'tcp', number: 83 },
          { name: 'tls', number: 84 },
          { name: 'unnamed', number: 85 },
        ],
        endpoints: [
          { address: `10.11.2.${index + 1}`, locality: 'r/z/s', labels: { version: 'v1' } },
          { address: `10.11.3.${index + 1}`, tlsMode: 'disabled' as const, health: 'unhealthy' as const },
        ],
      })),
    ],
    configs: [
      ...(HELLOWORLD_MESH.configs ?? []).filter(({ kind }) => kind !== 'VirtualService'),
      ...names.map((name) => {
        const trafficPolicy = POLICIES[name]?.() ?? {};
        const subsets = [{ name: 'v1', labels: { version: 'v1' }, trafficPolicy }];
        const spec: DestinationRuleSpec = { host: name, trafficPolicy, subsets };
        return fixtureConfig<DestinationRuleSpec>('DestinationRule', name, spec, NAMESPACE);
      }),
      virtualService('http', { hosts: ['helloworld', '*.example.com'], http: HTTP_ROUTES }),
      ...names.map((name) =>
        virtualService(name, {
          hosts: [name],
          http: [{ route: [{ destination: { host: name, subset: 'v1' } }] }],
          tls: [
            {
              match: [{ sniHosts: [`${name}.app1.svc.cluster.local`], port: 84, destinationSubnets: ['10.0.0.0/8'] }],
              route: [{ destination: { host: name, port: { number: 84 } } }],
            },
          ],
          tcp: [
            {
              match: [{ port: 83, destinationSubnets: ['10.111.0.0/16'] }],
              route: [
                { destination: { host: name, port: { number: 83 }, subset: 'v1' }, weight: 80 },
                { destination: { host: 'mysql', port: { number: 3306 } }, weight: 20 },
              ],
            },
          ],
        }),
      ),
    ],
  });
}

/** @returns What the proxy refuses, by name; resources go over the wire in between. */
function refused<Desc extends DescMessage>(
  schema: Desc,
  resources: readonly Translated<MessageShape<Desc>>[],
  compile: (resource: MessageShape<Desc>) => unknown,
): readonly string[] {
  assert.ok(resources.length > 0, schema.typeName);
  return resources.flatMap(({ name, resource }) => {
    const result = compiling(() => compile(fromBinary(schema, toBinary(schema, resource))));
    return result.ok ? [] : [`${schema.typeName} ${name}: ${result.error}`];
  });
}

for (const [what, meshConfig] of Object.entries({
  defaults: { accessLogFile: '/dev/stdout' },
  'all that MeshConfig can change': {
    accessLogFile: '/dev/stdout',
    accessLogEncoding: 'JSON' as const,
    outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' as const },
    h2UpgradePolicy: 'UPGRADE' as const,
    pathNormalization: { normalization: 'DECODE_AND_MERGE_SLASHES' as const },
    proxyHttpPort: 15_080,
    tcpKeepalive: { probes: 3, time: '60s', interval: '5s' },
    inboundTrafficPolicy: { mode: 'LOCALHOST' as const },
  },
})) {
  test(`our proxy takes everything that pilot makes of every rule: ${what}`, () => {
    using authority = createAuthorityFixture('outside');
    const leaf = authority.issue(['DNS:client']);
    writeFileSync(join(folder, 'leaf.crt'), leaf.certificate);
    writeFileSync(join(folder, 'leaf.key'), leaf.key);
    writeFileSync(join(folder, 'ca.crt'), authority.certificate);
    const node = fixtureNode({ namespace: 'app1', addresses: ['127.0.0.1'], labels: { app: 'sleep' } });
    const snapshot = richMesh(meshConfig);
    const translation = translateProxy({ snapshot, node, memo: createTranslationMemo() });
    const slots = createBreakerSlots();
    const refusals = [
      ...refused(ClusterSchema, translation.clusters(), (cluster) => compileCluster(cluster, slots)),
      ...refused(ClusterLoadAssignmentSchema, translation.endpoints(), (one) => compileEndpoints(one, one.clusterName)),
      ...refused(ListenerSchema, translation.listeners(), compileListener),
      ...refused(RouteConfigurationSchema, translation.routes(), compileRouteConfig),
    ];
    assert.deepEqual(refusals, []);
  });
}
