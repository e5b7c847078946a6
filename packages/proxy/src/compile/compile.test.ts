import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromJson, type JsonObject } from '@bufbuild/protobuf';
import { ClusterSchema } from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '@meltemi/xds/types/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '@meltemi/xds/types/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@meltemi/xds/types/envoy/config/route/v3/route_pb.js';
import { typeRegistry } from '../bootstrap/type-registry.ts';
import { createBreakerSlots } from '../config/breaker-slots.ts';
import {
  httpChain,
  listenerJson,
  mutualTls,
  routeJson,
  sdsSource,
  staticCluster,
  upstreamTls,
} from '../testing/resources.ts';
import { type CompiledCluster, compileCluster } from './cluster.ts';
import { compiling } from './compile-error.ts';
import { compileEndpoints } from './endpoints.ts';
import { type CompiledListener, compileListener } from './listener.ts';
import { compileRouteConfig } from './route.ts';

const options = { registry: typeRegistry };
const TYPE = 'type.googleapis.com/';
const cluster = (json: JsonObject): CompiledCluster =>
  compileCluster(fromJson(ClusterSchema, json, options), createBreakerSlots(16));
const listener = (json: JsonObject): CompiledListener => compileListener(fromJson(ListenerSchema, json, options));
const routes = (json: JsonObject): ReturnType<typeof compileRouteConfig> =>
  compileRouteConfig(fromJson(RouteConfigurationSchema, json, options));

const ADS: JsonObject = { ads: {}, initial_fetch_timeout: '0s' };

test("a cluster without any settings gets Envoy's defaults", () => {
  const { runtime } = cluster({ name: 'a', type: 'EDS', eds_cluster_config: { eds_config: ADS, service_name: 'svc' } });
  assert.deepEqual(
    {
      discovery: runtime.discovery,
      endpointsName: runtime.endpointsName,
      lbPolicy: runtime.lbPolicy,
      connectTimeoutMs: runtime.connectTimeoutMs,
      panic: runtime.panicThresholdPercent,
      thresholds: runtime.breakers.default,
      protocol: runtime.protocol,
      idleTimeoutMs: runtime.idleTimeoutMs,
      transport: runtime.transport,
    },
    {
      discovery: { kind: 'eds' },
      endpointsName: 'svc',
      lbPolicy: { kind: 'round_robin' },
      connectTimeoutMs: 5000,
      panic: 50,
      thresholds: {
        maxConnections: 1024,
        maxPendingRequests: 1024,
        maxRequests: 1024,
        maxRetries: 3,
        retryBudget: undefined,
      },
      protocol: 'http1',
      idleTimeoutMs: 3_600_000,
      transport: { kind: 'plaintext' },
    },
  );
});

test('an Istio cluster compiles: auto mTLS by endpoint metadata, secrets by SDS, least request, outlier detection', () => {
  const tls = mutualTls(sdsSource('sds-grpc'));
  const compiled = cluster({
    name: 'outbound|5000|v2|helloworld.app1.svc.cluster.local',
    type: 'EDS',
    eds_cluster_config: { eds_config: ADS },
    lb_policy: 'LEAST_REQUEST',
    connect_timeout: '1.5s',
    circuit_breakers: { thresholds: [{ max_connections: 4294967295, track_remaining: true }] },
    outlier_detection: {
      consecutive_5xx: 3,
      interval: '1s',
      enforcing_consecutive_5xx: 100,
      enforcing_success_rate: 0,
    },
    metadata: { filter_metadata: { istio: { services: [{ host: 'h', name: 'n', namespace: 'app1' }] } } },
    transport_socket_matches: [
      {
        name: 'tlsMode-istio',
        match: { tlsMode: 'istio' },
        transport_socket: upstreamTls({ ...tls, sni: 'outbound_.5000_.v2_.h' }),
      },
      {
        name: 'tlsMode-disabled',
        match: {},
        transport_socket: {
          name: 'envoy.transport_sockets.raw_buffer',
          typed_config: { '@type': `${TYPE}envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer` },
        },
      },
    ],
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': `${TYPE}envoy.extensions.upstreams.http.v3.HttpProtocolOptions`,
        use_downstream_protocol_config: { http_protocol_options: {}, http2_protocol_options: {} },
      },
    },
  });
  assert.equal(compiled.runtime.connectTimeoutMs, 1500);
  assert.equal(compiled.runtime.protocol, 'use_downstream');
  assert.deepEqual(compiled.runtime.lbPolicy, { kind: 'least_request', choiceCount: 2, activeRequestBias: 1 });
  assert.equal(compiled.runtime.outlierDetection?.consecutive5xx, 3);
  assert.equal(compiled.runtime.breakers.default.maxConnections, 4_294_967_295);
  const [istio, plain] = compiled.runtime.transportMatches;
  assert.deepEqual(plain, { name: 'tlsMode-disabled', match: {}, transport: { kind: 'plaintext' } });
  assert.equal(istio?.transport.kind, 'tls');
  if (istio?.transport.kind !== 'tls') return;
  assert.equal(istio.transport.tls.sni, 'outbound_.5000_.v2_.h');
  assert.deepEqual(istio.transport.tls.certificateSecretNames, ['default']);
  assert.deepEqual(istio.transport.tls.validation, {
    secretName: 'ROOTCA',
    sanMatchers: [{ type: 'uri', matcher: { kind: 'prefix', value: 'spiffe://', ignoreCase: false } }],
  });
  assert.deepEqual(
    compiled.secrets.map(({ name, source }) => [name, source]),
    [
      ['default', { kind: 'cluster', cluster: 'sds-grpc' }],
      ['ROOTCA', { kind: 'cluster', cluster: 'sds-grpc' }],
    ],
  );
});

test("clusters that would not be served as written are refused, by the field's name", () => {
  const table: [JsonObject, RegExp][] = [
    [{ name: 'a', type: 'EDS' }, /eds_cluster_config is required/],
    [
      { name: 'a', lb_policy: 'RING_HASH', ring_hash_lb_config: { hash_function: 'MURMUR_HASH_2' } },
      /MURMUR_HASH_2 is not supported/,
    ],
    [{ name: 'a', lb_policy: 'MAGLEV', maglev_lb_config: { table_size: '1024' } }, /must be prime/],
    [{ name: 'a', health_checks: [{ timeout: '1s', interval: '1s' }] }, /health_checks is not supported/],
    [
      { name: 'a', cluster_type: { name: 'envoy.clusters.aggregate' } },
      /unsupported cluster type envoy\.clusters\.aggregate/,
    ],
    [
      {
        ...staticCluster('a', 80),
        load_assignment: {
          cluster_name: 'a',
          endpoints: [
            { lb_endpoints: [{ endpoint: { address: { socket_address: { address: 'name', port_value: 1 } } } }] },
          ],
        },
      },
      /malformed IP address: name/,
    ],
    [
      {
        ...staticCluster('a', 80),
        transport_socket: upstreamTls({
          common_tls_context: {
            validation_context: { match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: 'x' } }] },
          },
        }),
      },
      /without trusted CA is insecure/,
    ],
    [
      {
        ...staticCluster('a', 80),
        transport_socket: upstreamTls({
          common_tls_context: {
            validation_context: { trusted_ca: { inline_string: 'x' }, verify_certificate_hash: ['aa'] },
          },
        }),
      },
      /transport_socket: common_tls_context: validation_context: verify_certificate_hash is not supported/,
    ],
  ];
  for (const [json, expected] of table) {
    const result = compiling(() => cluster(json));
    assert.ok(!result.ok, JSON.stringify(json));
    assert.match(result.error, expected);
  }
});

test('endpoints keep weights, health, priority, locality and metadata', () => {
  const assignment = fromJson(
    ClusterLoadAssignmentSchema,
    {
      cluster_name: 'a',
      endpoints: [
        {
          locality: { region: 'r', zone: 'z' },
          priority: 1,
          load_balancing_weight: 3,
          lb_endpoints: [
            {
              endpoint: { address: { socket_address: { address: '10.0.0.1', port_value: 80 } } },
              health_status: 'UNHEALTHY',
              load_balancing_weight: 2,
              metadata: { filter_metadata: { 'envoy.transport_socket_match': { tlsMode: 'istio' } } },
            },
          ],
        },
      ],
    },
    options,
  );
  assert.deepEqual(compileEndpoints(assignment, 'a'), {
    name: 'a',
    overprovisioningPercent: 140,
    localities: [
      {
        region: 'r',
        zone: 'z',
        subZone: '',
        priority: 1,
        weight: 3,
        hosts: [
          {
            address: { kind: 'tcp', address: '10.0.0.1', port: 80 },
            hostname: '',
            weight: 2,
            health: 'unhealthy',
            metadata: { 'envoy.transport_socket_match': { tlsMode: 'istio' } },
          },
        ],
      },
    ],
  });
});

const filter = (name: string, type: string, config: JsonObject = {}): JsonObject => ({
  name,
  typed_config: { '@type': `${TYPE}${type}`, ...config },
});

test('an Istio inbound listener compiles: filters in order, mTLS, listener filters, destination as reporter', () => {
  const chain = httpChain({ route_config: routeJson('inbound|5000||', 'inbound|5000||') }, [
    filter('istio.metadata_exchange', 'io.istio.http.peer_metadata.Config', {
      downstream_discovery: [{ istio_headers: {} }, { workload_discovery: {} }],
      downstream_propagation: [{ istio_headers: {} }],
    }),
    filter('envoy.filters.http.grpc_stats', 'envoy.extensions.filters.http.grpc_stats.v3.FilterConfig', {
      emit_filter_state: true,
    }),
    filter('envoy.filters.http.fault', 'envoy.extensions.filters.http.fault.v3.HTTPFault'),
    filter('envoy.filters.http.cors', 'envoy.extensions.filters.http.cors.v3.Cors'),
    filter('istio.stats', 'stats.PluginConfig', { disable_host_header_fallback: true }),
  ]);
  const compiled = listener({
    ...listenerJson('virtualInbound', 15_006, {
      ...chain,
      name: '0.0.0.0_5000',
      filter_chain_match: {
        destination_port: 5000,
        transport_protocol: 'tls',
        application_protocols: ['istio', 'istio-http/1.1'],
      },
      transport_socket: {
        name: 'envoy.transport_sockets.tls',
        typed_config: {
          '@type': `${TYPE}envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext`,
          ...mutualTls(sdsSource('sds-grpc')),
          require_client_certificate: true,
        },
      },
    }),
    traffic_direction: 'INBOUND',
    listener_filters_timeout: '0s',
    continue_on_listener_filters_timeout: true,
    listener_filters: [
      filter('envoy.filters.listener.original_dst', 'envoy.extensions.filters.listener.original_dst.v3.OriginalDst'),
      filter('envoy.filters.listener.original_src', 'envoy.extensions.filters.listener.original_src.v3.OriginalSrc', {
        mark: 1337,
      }),
      {
        ...filter(
          'envoy.filters.listener.tls_inspector',
          'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector',
        ),
        filter_disabled: { destination_port_range: { start: 9000, end: 9001 } },
      },
    ],
  });
  const { runtime } = compiled;
  assert.equal(runtime.trafficDirection, 'inbound');
  assert.deepEqual(runtime.listenerFilters, {
    originalDst: true,
    originalSrc: { mark: 1337 },
    tlsInspector: { disabled: { kind: 'range', start: 9000, end: 9001 } },
    httpInspector: undefined,
    timeoutMs: 0,
    continueOnTimeout: true,
  });
  const [compiledChain] = runtime.filterChains;
  assert.equal(compiledChain?.tls?.requireClientCertificate, true);
  assert.equal(compiledChain?.match.destinationPort, 5000);
  const [manager] = compiledChain?.filters ?? [];
  assert.equal(manager?.kind, 'http_connection_manager');
  if (manager?.kind !== 'http_connection_manager') return;
  assert.deepEqual(
    manager.httpFilters.map(({ kind }) => kind),
    ['peer_metadata', 'grpc_stats', 'fault', 'cors', 'istio_stats', 'router'],
  );
  const stats = manager.httpFilters.find(({ kind }) => kind === 'istio_stats');
  assert.equal(stats?.kind === 'istio_stats' ? stats.stats.reporter : undefined, 'destination');
  assert.deepEqual(
    [manager.streamIdleTimeoutMs, manager.maxRequestHeadersBytes, manager.serverName],
    [300_000, 61_440, 'envoy'],
  );
});

test('listeners that would not be served as written are refused, by place', () => {
  const chain = httpChain({ route_config: routeJson('r', 'c') });
  const table: [JsonObject, RegExp][] = [
    [
      listenerJson('a', 1, {
        filters: [filter('x', 'envoy.extensions.filters.network.rbac.v3.RBAC', { stat_prefix: 's' })],
      }),
      /filter_chains\[0\]: filters\[0\] \(x\): unsupported type envoy\.extensions\.filters\.network\.rbac\.v3\.RBAC/,
    ],
    [
      listenerJson(
        'a',
        1,
        httpChain({ route_config: routeJson('r', 'c') }, [filter('r', 'envoy.extensions.filters.http.rbac.v3.RBAC')]),
      ),
      /http_filters\[0\] \(r\): unsupported type envoy\.extensions\.filters\.http\.rbac\.v3\.RBAC/,
    ],
    [
      { ...listenerJson('a', 1, chain), filter_chains: [chain, chain] },
      /multiple filter chains with the same matching rules/,
    ],
    [
      {
        ...listenerJson('a', 1, chain),
        additional_addresses: [{ address: { socket_address: { address: '::1', port_value: 1 } } }],
      },
      /additional_addresses is not supported/,
    ],
    [
      listenerJson('a', 1, { filters: [], filter_chain_match: { server_names: ['a*.com'] } }),
      /partial wildcards are not supported/,
    ],
    [{ name: 'a', address: { socket_address: { address: '127.0.0.1', port_value: 1 } } }, /no filter chains specified/],
  ];
  for (const [json, expected] of table) {
    const result = compiling(() => listener(json));
    assert.ok(!result.ok, JSON.stringify(json));
    assert.match(result.error, expected);
  }
});

test('an optional HTTP filter of an unknown type is left out', () => {
  const optional = { ...filter('r', 'envoy.extensions.filters.http.rbac.v3.RBAC'), is_optional: true };
  const { runtime } = listener(listenerJson('a', 1, httpChain({ route_config: routeJson('r', 'c') }, [optional])));
  const [manager] = runtime.filterChains[0]?.filters ?? [];
  assert.deepEqual(manager?.kind === 'http_connection_manager' ? manager.httpFilters.map(({ kind }) => kind) : [], [
    'router',
  ]);
});

test("routes compile: matches, weights, retries with Envoy's back-off defaults, timeouts, rewrites", () => {
  const config = routes({
    name: '80',
    ignore_port_in_host_matching: true,
    virtual_hosts: [
      {
        name: 'reviews:80',
        domains: ['Reviews', '*.reviews'],
        include_request_attempt_count: true,
        routes: [
          {
            match: {
              path_separated_prefix: '/v1',
              headers: [
                { name: 'End-User', string_match: { exact: 'jason' } },
                { name: 'x', invert_match: true, present_match: true },
              ],
            },
            route: {
              weighted_clusters: {
                clusters: [
                  { name: 'v1', weight: 75 },
                  { name: 'v2', weight: 25 },
                ],
              },
              timeout: '0s',
              prefix_rewrite: '/',
              retry_policy: {
                retry_on: 'connect-failure,refused-stream,unavailable,no-such-condition',
                num_retries: 2,
                retry_host_predicate: [
                  filter(
                    'envoy.retry_host_predicates.previous_hosts',
                    'envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate',
                  ),
                ],
                host_selection_retry_max_attempts: '5',
              },
            },
          },
          { match: { prefix: '/' }, redirect: { https_redirect: true, response_code: 'PERMANENT_REDIRECT' } },
        ],
      },
      { name: 'block_all', domains: ['*'], routes: [{ match: { prefix: '/' }, direct_response: { status: 502 } }] },
    ],
  });
  assert.equal(config.ignorePortInHostMatching, true);
  const [host, blocked] = config.virtualHosts;
  assert.deepEqual(host?.domains, ['reviews', '*.reviews']);
  const action = host?.routes[0]?.action;
  assert.equal(action?.kind, 'route');
  if (action?.kind !== 'route') return;
  assert.equal(action.cluster.kind === 'weighted' ? action.cluster.totalWeight : 0, 100);
  assert.equal(action.timeoutMs, 0);
  assert.deepEqual(action.retryPolicy, {
    retryOn: ['connect-failure', 'refused-stream', 'unavailable'],
    numRetries: 2,
    perTryTimeoutMs: undefined,
    perTryIdleTimeoutMs: undefined,
    retriableStatusCodes: [],
    retriableHeaders: [],
    retriableRequestHeaders: [],
    baseIntervalMs: 25,
    maxIntervalMs: 250,
    avoidPreviousHosts: true,
    hostSelectionMaxAttempts: 5,
  });
  assert.equal(host?.routes[0]?.match.headers[0]?.name, 'end-user');
  assert.equal(host?.routes[1]?.action.kind === 'redirect' ? host.routes[1].action.status : 0, 308);
  assert.deepEqual(blocked?.routes[0]?.action, { kind: 'direct_response', status: 502, body: '' });
});

test('route tables that cannot be served are refused, by place', () => {
  const one = (route: JsonObject): JsonObject => ({
    name: 'r',
    virtual_hosts: [{ name: 'h', domains: ['*'], routes: [route] }],
  });
  const table: [JsonObject, RegExp][] = [
    [
      {
        name: 'r',
        virtual_hosts: [
          { name: 'a', domains: ['x'] },
          { name: 'b', domains: ['X'] },
        ],
      },
      /Duplicate entry of domain x in route r/,
    ],
    [
      one({ match: { prefix: '/' }, route: { weighted_clusters: { clusters: [{ name: 'a', weight: 0 }] } } }),
      /virtual_hosts\[0\] \(h\): routes\[0\]: weighted_clusters: sum of weights/,
    ],
    [one({ match: {}, route: { cluster: 'c' } }), /match: unsupported path specifier/],
    [one({ match: { prefix: '/' } }), /unsupported action \(none\)/],
  ];
  for (const [json, expected] of table) {
    const result = compiling(() => routes(json));
    assert.ok(!result.ok, JSON.stringify(json));
    assert.match(result.error, expected);
  }
});
