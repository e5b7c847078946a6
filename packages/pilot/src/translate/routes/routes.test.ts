import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HTTPRoute, VirtualServiceSpec } from '@meltemi/api';
import type { ConfigResource } from '@meltemi/model';
import { type EnvoyJson, reviewsMesh, routesOfHost, translateToJson } from '../../testing/envoy-json.ts';
import { fixtureConfig, fixtureNode, fixtureSnapshot } from '../../testing/mesh-fixture.ts';
import { createTranslationMemo } from '../memo.ts';
import type { ProxyNode } from '../proxy-node.ts';
import { translateSidecar } from '../sidecar.ts';

const HOST = 'reviews.default.svc.cluster.local:9080';
const TO_REVIEWS: HTTPRoute = { route: [{ destination: { host: 'reviews' } }] };

function virtualService(...http: readonly HTTPRoute[]): ConfigResource<VirtualServiceSpec> {
  return fixtureConfig<VirtualServiceSpec>('VirtualService', 'reviews', { hosts: ['reviews'], http });
}

function routesWith(resource: ConfigResource, node: Partial<ProxyNode> = {}): readonly EnvoyJson[] {
  return routesOfHost(translateToJson(reviewsMesh(resource), node), '9080', HOST);
}

function firstRoute(http: HTTPRoute): EnvoyJson {
  return routesWith(virtualService(http))[0];
}

test('PILOT-02 the virtual host of a service has every name of it, and ports do not matter', () => {
  const config = translateToJson(reviewsMesh()).routes.get('9080');
  assert.equal(config.ignore_port_in_host_matching, true);
  const host = config.virtual_hosts.find(({ name }: { name: string }) => name === HOST);
  assert.deepEqual(host.domains, [
    'reviews.default.svc.cluster.local',
    'reviews.default.svc.cluster.local.',
    'reviews',
    'reviews.default.svc',
    'reviews.default',
    '10.111.0.10',
  ]);
});

test('PILOT-03 from another namespace a service has no single-label name', () => {
  const config = translateToJson(reviewsMesh(), { namespace: 'other' }).routes.get('9080');
  const host = config.virtual_hosts.find(({ name }: { name: string }) => name === HOST);
  assert.ok(!host.domains.includes('reviews'));
  assert.ok(host.domains.includes('reviews.default') && host.domains.includes('reviews.default.svc'));
});

test('PILOT-04 unknown hosts go where they were going, or are refused', () => {
  const last = (mode: 'ALLOW_ANY' | 'REGISTRY_ONLY') => {
    const sidecar = translateToJson({ ...reviewsMesh(), meshConfig: { outboundTrafficPolicy: { mode } } });
    const chain = sidecar.listeners.get('virtualOutbound').filter_chains.at(-1);
    return [sidecar.routes.get('9080').virtual_hosts.at(-1), chain.filters.at(-1).typed_config.cluster];
  };
  const [allowed, passthrough] = last('ALLOW_ANY');
  assert.deepEqual([allowed.name, allowed.domains], ['allow_any', ['*']]);
  assert.equal(allowed.routes[0].route.cluster, 'PassthroughCluster');
  assert.equal(passthrough, 'PassthroughCluster');
  const [blocked, blackHole] = last('REGISTRY_ONLY');
  assert.equal(blocked.name, 'block_all');
  assert.equal(blocked.routes[0].direct_response.status, 502);
  assert.equal(blackHole, 'BlackHoleCluster');
});

test('PILOT-10 requests are retried twice where nobody says', () => {
  for (const route of [firstRoute(TO_REVIEWS), routesOfHost(translateToJson(reviewsMesh()), '9080', HOST)[0]]) {
    assert.equal(
      route.route.retry_policy.retry_on,
      'connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes',
    );
    assert.equal(route.route.retry_policy.num_retries, 2);
    assert.equal(route.route.retry_policy.host_selection_retry_max_attempts, '5');
  }
});

test('PILOT-11 status codes among the conditions are told apart; no attempts, no policy', () => {
  const policy = firstRoute({ ...TO_REVIEWS, retries: { attempts: 3, retryOn: '503,reset' } }).route.retry_policy;
  assert.equal(policy.retry_on, 'reset,retriable-status-codes');
  assert.deepEqual(policy.retriable_status_codes, [503]);
  assert.equal(policy.num_retries, 3);
  assert.equal(firstRoute({ ...TO_REVIEWS, retries: { attempts: 0 } }).route.retry_policy, undefined);
});

test('PILOT-12 there is no timeout unless one is set, and then gRPC callers have it, too', () => {
  assert.equal(firstRoute(TO_REVIEWS).route.timeout, '0s');
  const { timeout, max_grpc_timeout } = firstRoute({ ...TO_REVIEWS, timeout: '5s' }).route;
  assert.deepEqual([timeout, max_grpc_timeout], ['5s', '5s']);
});

test('PILOT-13 weights become weighted clusters, without those of no weight', () => {
  const route = ['v1', 'v2', 'v3'].map((subset, index) => ({
    destination: { host: 'reviews', subset },
    weight: [25, 75, 0][index] as number,
  }));
  const { clusters } = firstRoute({ route }).route.weighted_clusters;
  assert.deepEqual(
    clusters.map(({ name, weight }: { name: string; weight: number }) => [name, weight]),
    [
      ['outbound|9080|v1|reviews.default.svc.cluster.local', 25],
      ['outbound|9080|v2|reviews.default.svc.cluster.local', 75],
    ],
  );
});

test('PILOT-14 a match on source labels is for proxies with them, which do not share the result', () => {
  const resource = virtualService({ ...TO_REVIEWS, name: 'x', match: [{ sourceLabels: { app: 'x' } }] }, TO_REVIEWS);
  const namesFor = (labels: Record<string, string>) => routesWith(resource, { labels }).map(({ name }) => name);
  assert.deepEqual(namesFor({ app: 'x' }), ['x']);
  assert.deepEqual(namesFor({ app: 'y' }), [undefined]);
  const snapshot = fixtureSnapshot(reviewsMesh(resource));
  const memo = createTranslationMemo();
  const [first, second] = ['x', 'y'].map((app) => {
    const node = fixtureNode({ id: app, labels: { app } });
    return translateSidecar({ snapshot, node, memo }).routes(['9080'])[0];
  });
  assert.notEqual(first, second);
});

test('Proxies of one namespace share routes that no label decides', () => {
  const snapshot = fixtureSnapshot(reviewsMesh(virtualService(TO_REVIEWS)));
  const memo = createTranslationMemo();
  const [first, second] = ['x', 'y'].map((app) => {
    const node = fixtureNode({ id: app, labels: { app } });
    return translateSidecar({ snapshot, node, memo }).routes(['9080'])[0];
  });
  assert.equal(first, second);
});

test('PILOT-15 headers that must not have a value, or not be there', () => {
  const withoutHeaders = { x: { exact: 'y' }, z: {} };
  const { match } = firstRoute({ ...TO_REVIEWS, match: [{ withoutHeaders }] });
  assert.deepEqual(match.headers, [
    { name: 'x', string_match: { exact: 'y' }, invert_match: true, treat_missing_header_as_empty: true },
    { name: 'z', present_match: true, invert_match: true },
  ]);
});

test('PILOT-16 a host among the headers to set rewrites the host', () => {
  const route = firstRoute({ ...TO_REVIEWS, headers: { request: { set: { host: 'foo', 'x-a': 'b' } } } });
  assert.equal(route.route.host_rewrite_literal, 'foo');
  assert.deepEqual(
    route.request_headers_to_add.map(({ header }: { header: { key: string } }) => header.key),
    ['x-a'],
  );
});

test('PILOT-17 a port that the scheme implies is left out of a redirect', () => {
  const { redirect } = firstRoute({ redirect: { scheme: 'https', port: 443, redirectCode: 308 } });
  assert.deepEqual(redirect, { scheme_redirect: 'https', response_code: 'PERMANENT_REDIRECT' });
  assert.equal(firstRoute({ redirect: { scheme: 'https', port: 8443 } }).redirect.port_redirect, 8443);
});

test('PILOT-19 a mirror gets all requests unless a share is set; none for zero', () => {
  const mirror = { host: 'reviews', subset: 'v2' };
  const [policy] = firstRoute({ ...TO_REVIEWS, mirror }).route.request_mirror_policies;
  assert.equal(policy.cluster, 'outbound|9080|v2|reviews.default.svc.cluster.local');
  assert.deepEqual(policy.runtime_fraction.default_value, { numerator: 1_000_000, denominator: 'MILLION' });
  const none = firstRoute({ ...TO_REVIEWS, mirror, mirrorPercentage: { value: 0 } });
  assert.equal(none.route.request_mirror_policies, undefined);
});

test('PILOT-20 a fault without a share is never injected', () => {
  const { typed_per_filter_config } = firstRoute({ ...TO_REVIEWS, fault: { abort: { httpStatus: 503 } } });
  const { abort } = typed_per_filter_config['envoy.filters.http.fault'];
  assert.equal(abort.http_status, 503);
  // A numerator of zero is left out of JSON.
  assert.deepEqual(abort.percentage, { denominator: 'MILLION' });
});

test('A match that takes every request ends the routes', () => {
  const routes = routesWith(
    virtualService(
      { ...TO_REVIEWS, name: 'first', match: [{ uri: { exact: '/a' } }, { uri: { prefix: '/' } }] },
      { ...TO_REVIEWS, name: 'never' },
    ),
  );
  assert.deepEqual(
    routes.map(({ name, match }) => [name, match.path ?? match.prefix]),
    [
      ['first', '/a'],
      ['first', '/'],
    ],
  );
});

test('A route says which VirtualService it comes from, in its metadata and in its sources', () => {
  const resource = virtualService({ ...TO_REVIEWS, match: [{ uri: { prefix: '/a' } }] }, TO_REVIEWS);
  assert.equal(
    routesWith(resource)[0].metadata.filter_metadata.istio.config,
    '/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews',
  );
  const snapshot = fixtureSnapshot(reviewsMesh(resource));
  const translation = translateSidecar({ snapshot, node: fixtureNode(), memo: createTranslationMemo() });
  assert.deepEqual(translation.routes(['9080'])[0]?.sources, [
    { resourceKey: 'Service/default/reviews', fieldPath: '' },
    { resourceKey: 'VirtualService/default/reviews', fieldPath: 'spec.http[0]' },
    { resourceKey: 'VirtualService/default/reviews', fieldPath: 'spec.http[1]' },
  ]);
});
