import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DestinationRuleSpec } from '@meltemi/api';
import type { ConfigResource } from '@meltemi/model';
import { reviewsMesh, translateToJson } from '../../testing/envoy-json.ts';
import { fixtureConfig } from '../../testing/mesh-fixture.ts';

const REVIEWS = 'outbound|9080||reviews.default.svc.cluster.local';

function rule(
  name: string,
  trafficPolicy: DestinationRuleSpec['trafficPolicy'],
  overrides: Partial<ConfigResource<DestinationRuleSpec>> = {},
  subsets: DestinationRuleSpec['subsets'] = [],
): ConfigResource<DestinationRuleSpec> {
  const spec = {
    host: 'reviews.default.svc.cluster.local',
    ...(trafficPolicy === undefined ? {} : { trafficPolicy }),
    subsets,
  };
  return fixtureConfig<DestinationRuleSpec>('DestinationRule', name, spec, overrides);
}

const subset = (name: string) => ({ name, labels: { version: name } });
const clusterWith = (...rules: readonly ConfigResource[]) =>
  translateToJson(reviewsMesh(...rules)).clusters.get(REVIEWS);

test('PILOT-01 a service port has an EDS cluster with least request, a listener and a route of its number', () => {
  const { clusters, listeners, routes } = translateToJson(reviewsMesh());
  const cluster = clusters.get(REVIEWS);
  assert.equal(cluster.type, 'EDS');
  assert.equal(cluster.lb_policy, 'LEAST_REQUEST');
  assert.deepEqual(cluster.eds_cluster_config.eds_config.ads, {});
  assert.equal(cluster.eds_cluster_config.service_name, REVIEWS);
  assert.equal(listeners.get('0.0.0.0_9080').bind_to_port, false);
  assert.ok(routes.has('9080'));
});

test('PILOT-22 the rule of the client namespace is used alone; the root namespace is the last resort', () => {
  const maxOf = (cluster: { circuit_breakers: { thresholds: { max_connections: number }[] } }) =>
    cluster.circuit_breakers.thresholds[0]?.max_connections;
  const limit = (maxConnections: number) => ({ connectionPool: { tcp: { maxConnections } } });
  const ofClient = rule('client', limit(1), { namespace: 'client' });
  const ofService = rule('service', { ...limit(2), loadBalancer: { simple: 'RANDOM' } });
  const ofRoot = rule('root', limit(3), { namespace: 'istio-system' });
  const seenBy = (namespace: string, ...rules: readonly ConfigResource[]) =>
    translateToJson(reviewsMesh(...rules), { namespace }).clusters.get(REVIEWS);
  assert.equal(maxOf(seenBy('client', ofClient, ofService, ofRoot)), 1);
  assert.equal(seenBy('client', ofClient, ofService).lb_policy, 'LEAST_REQUEST');
  assert.equal(maxOf(seenBy('other', ofClient, ofService, ofRoot)), 2);
  assert.equal(maxOf(seenBy('other', ofClient, ofRoot)), 3);
  assert.equal(maxOf(seenBy('other', ofClient)), 4294967295);
});

test('PILOT-23 rules for one host are merged: all subsets, and the policy of the older rule', () => {
  const older = rule('b-older', { loadBalancer: { simple: 'RANDOM' } }, { creationTimestampMs: 1 }, [subset('v1')]);
  const newer = rule('a-newer', { loadBalancer: { simple: 'ROUND_ROBIN' } }, { creationTimestampMs: 2 }, [
    subset('v2'),
    subset('v1'),
  ]);
  const { clusters } = translateToJson(reviewsMesh(newer, older));
  const names = [...clusters.keys()].filter((name) => name.includes('reviews'));
  assert.deepEqual(names, [
    REVIEWS,
    'outbound|9080|v1|reviews.default.svc.cluster.local',
    'outbound|9080|v2|reviews.default.svc.cluster.local',
  ]);
  assert.equal(clusters.get(REVIEWS).lb_policy, 'RANDOM');
  assert.equal(
    clusters.get(REVIEWS).metadata.filter_metadata.istio.config,
    '/apis/networking.istio.io/v1/namespaces/default/destination-rule/b-older',
  );
});

test('PILOT-24 port settings replace the whole policy of the destination', () => {
  const policy = {
    connectionPool: { tcp: { maxConnections: 7 } },
    portLevelSettings: [{ port: { number: 9080 }, tls: { mode: 'DISABLE' as const } }],
  };
  assert.equal(clusterWith(rule('r', policy)).circuit_breakers.thresholds[0].max_connections, 4294967295);
  const elsewhere = { ...policy, portLevelSettings: [{ port: { number: 1 }, tls: { mode: 'DISABLE' as const } }] };
  assert.equal(clusterWith(rule('r', elsewhere)).circuit_breakers.thresholds[0].max_connections, 7);
});

test('A subset overlays the policy of its rule block by block', () => {
  const policy = { loadBalancer: { simple: 'RANDOM' as const }, connectionPool: { tcp: { maxConnections: 7 } } };
  const v1 = { ...subset('v1'), trafficPolicy: { loadBalancer: { simple: 'ROUND_ROBIN' as const } } };
  const cluster = translateToJson(reviewsMesh(rule('r', policy, {}, [v1]))).clusters.get(
    'outbound|9080|v1|reviews.default.svc.cluster.local',
  );
  // Round robin is the policy's zero value, which JSON leaves out.
  assert.equal(cluster.lb_policy, undefined);
  assert.equal(cluster.circuit_breakers.thresholds[0].max_connections, 7);
  assert.equal(cluster.metadata.filter_metadata.istio.subset, 'v1');
});

test('PILOT-26 outlier detection enforces what is counted, never success rate, and panic is off', () => {
  const cluster = clusterWith(rule('r', { outlierDetection: { consecutive5xxErrors: 7 } }));
  assert.deepEqual(cluster.outlier_detection, {
    consecutive_5xx: 7,
    enforcing_consecutive_5xx: 100,
    enforcing_success_rate: 0,
  });
  assert.deepEqual(cluster.common_lb_config.healthy_panic_threshold, {});
});

test('PILOT-28 PASSTHROUGH balancing dials the original destination', () => {
  const cluster = clusterWith(rule('r', { loadBalancer: { simple: 'PASSTHROUGH' } }));
  assert.equal(cluster.type, 'ORIGINAL_DST');
  assert.equal(cluster.lb_policy, 'CLUSTER_PROVIDED');
  assert.equal(cluster.load_assignment, undefined);
  assert.equal(cluster.eds_cluster_config, undefined);
});

test('PILOT-33 automatic mTLS chooses by endpoint, and endpoints without a sidecar say nothing', () => {
  const mesh = reviewsMesh();
  const [reviews] = mesh.services ?? [];
  assert.ok(reviews);
  const endpoints = [{ address: '10.11.0.20' }, { address: '10.11.0.21', tlsMode: 'disabled' as const }];
  const sidecar = translateToJson({ ...mesh, services: [{ ...reviews, endpoints }] });
  const matches = sidecar.clusters.get(REVIEWS).transport_socket_matches;
  assert.deepEqual(
    matches.map(
      ({ name, match, transport_socket }: { name: string; match: object; transport_socket: { name: string } }) => [
        name,
        match,
        transport_socket.name,
      ],
    ),
    [
      ['tlsMode-istio', { tlsMode: 'istio' }, 'envoy.transport_sockets.tls'],
      ['tlsMode-disabled', {}, 'envoy.transport_sockets.raw_buffer'],
    ],
  );
  const [withSidecar, without] = sidecar.endpoints.get(REVIEWS).endpoints[0].lb_endpoints;
  assert.deepEqual(withSidecar.metadata.filter_metadata['envoy.transport_socket_match'], { tlsMode: 'istio' });
  assert.equal(without.metadata.filter_metadata['envoy.transport_socket_match'], undefined);
});

test('An endpoint that terminates is no target, and its own sidecar serves on', () => {
  const mesh = reviewsMesh();
  const [reviews] = mesh.services ?? [];
  assert.ok(reviews);
  const endpoints = [{ address: '10.11.0.20' }, { address: '10.11.0.21', health: 'terminating' as const }];
  const leaving = translateToJson({ ...mesh, services: [{ ...reviews, endpoints }] }, { addresses: ['10.11.0.21'] });
  const [{ lb_endpoints: targets }] = leaving.endpoints.get(REVIEWS).endpoints;
  assert.deepEqual(
    targets.map((target: { endpoint: { address: { socket_address: { address: string } } } }) => {
      return target.endpoint.address.socket_address.address;
    }),
    ['10.11.0.20'],
  );
  assert.ok(leaving.clusters.has('inbound|9080||'));
});

test('Automatic mTLS is off where the servers do not accept it', () => {
  const off = fixtureConfig('PeerAuthentication', 'off', { mtls: { mode: 'DISABLE' } });
  assert.equal(clusterWith(off).transport_socket_matches, undefined);
});

test('PILOT-35 ISTIO_MUTUAL names the server by SNI and identity', () => {
  const socket = clusterWith(rule('r', { tls: { mode: 'ISTIO_MUTUAL' } })).transport_socket.typed_config;
  assert.equal(socket.sni, 'outbound_.9080_._.reviews.default.svc.cluster.local');
  assert.deepEqual(socket.common_tls_context.alpn_protocols, ['istio-peer-exchange', 'istio']);
  const { default_validation_context: validation } = socket.common_tls_context.combined_validation_context;
  assert.deepEqual(validation.match_typed_subject_alt_names, [
    { san_type: 'URI', matcher: { exact: 'spiffe://cluster.local/ns/default/sa/reviews' } },
  ]);
  const secretNames = [
    socket.common_tls_context.tls_certificate_sds_secret_configs[0].name,
    socket.common_tls_context.combined_validation_context.validation_context_sds_secret_config.name,
  ];
  assert.deepEqual(secretNames, ['default', 'ROOTCA']);
});

test('PILOT-36 SIMPLE without a name takes SNI and SAN from the request, and keeps the client ALPN', () => {
  const cluster = clusterWith(rule('r', { tls: { mode: 'SIMPLE' } }));
  const options = cluster.typed_extension_protocol_options['envoy.extensions.upstreams.http.v3.HttpProtocolOptions'];
  assert.deepEqual(options.upstream_http_protocol_options, { auto_sni: true, auto_san_validation: true });
  assert.equal(cluster.metadata.filter_metadata.istio.alpn_override, 'false');
});

test('A proxy has the fixed clusters, and inbound ones for its own services that leave from 127.0.0.6', () => {
  const { clusters } = translateToJson(reviewsMesh(), { addresses: ['10.11.0.20'] });
  assert.equal(clusters.get('BlackHoleCluster').type, 'STATIC');
  assert.equal(clusters.get('PassthroughCluster').type, 'ORIGINAL_DST');
  for (const name of ['inbound|9080||', 'InboundPassthroughCluster']) {
    assert.equal(clusters.get(name).type, 'ORIGINAL_DST', name);
    assert.equal(clusters.get(name).upstream_bind_config.source_address.address, '127.0.0.6', name);
  }
});
