import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createStatTagger, type KnownNames } from './stat-tags.ts';

const KNOWN: KnownNames = {
  clusters: new Set(['backend', 'outbound|80||a.b.svc.cluster.local', 'outbound|80||c.b.svc.cluster.local;']),
  httpPrefixes: new Set(['inbound_0.0.0.0_5000;']),
  tcpPrefixes: new Set(['BlackHoleCluster']),
  listeners: new Set(['0.0.0.0_15006']),
};

test('variable parts of stat names become labels, whatever dots they hold', async () => {
  const tag = await createStatTagger([], () => KNOWN);
  const table: [string, string, Record<string, string>][] = [
    ['cluster.backend.upstream_cx_total', 'cluster.upstream_cx_total', { envoy_cluster_name: 'backend' }],
    [
      'cluster.outbound|80||a.b.svc.cluster.local.upstream_rq_200',
      'cluster.upstream_rq',
      { envoy_cluster_name: 'outbound|80||a.b.svc.cluster.local', envoy_response_code: '200' },
    ],
    [
      'cluster.outbound|80||c.b.svc.cluster.local;.upstream_rq_5xx',
      'cluster.upstream_rq_xx',
      { envoy_cluster_name: 'outbound|80||c.b.svc.cluster.local', envoy_response_code_class: '5' },
    ],
    ['cluster.gone.upstream_cx_total', 'cluster.upstream_cx_total', { envoy_cluster_name: 'gone' }],
    [
      'http.inbound_0.0.0.0_5000;.downstream_rq_total',
      'http.downstream_rq_total',
      { envoy_http_conn_manager_prefix: 'inbound_0.0.0.0_5000' },
    ],
    [
      'listener.0.0.0.0_15006.worker_1.downstream_cx_total',
      'listener.worker_downstream_cx_total',
      { envoy_listener_address: '0.0.0.0_15006', envoy_worker_id: '1' },
    ],
    ['tcp.BlackHoleCluster.downstream_cx_total', 'tcp.downstream_cx_total', { envoy_tcp_prefix: 'BlackHoleCluster' }],
    ['server.live', 'server.live', {}],
  ];
  for (const [name, expected, labels] of table) assert.deepEqual(tag(name), { name: expected, labels }, name);
});

test('expressions of the bootstrap come first: the first group is cut out, the second is the value', async () => {
  const tag = await createStatTagger(
    [
      { name: 'cluster_name', regex: '^cluster\\.((.+?);\\.)', fixedValue: undefined },
      { name: 'mesh', regex: undefined, fixedValue: 'one' },
    ],
    () => KNOWN,
  );
  assert.deepEqual(tag('cluster.outbound|80||c.b.svc.cluster.local;.upstream_cx_total'), {
    name: 'cluster.upstream_cx_total',
    labels: { mesh: 'one', cluster_name: 'outbound|80||c.b.svc.cluster.local' },
  });
});

test('without the default tags only the expressions count, and each of them sees the whole name', async () => {
  const regex = (name: string, text: string) => ({ name, regex: text, fixedValue: undefined });
  const tag = await createStatTagger(
    [
      regex('cluster_name', '^cluster\\.((.+?);\\.)'),
      regex('service', '^cluster\\.outbound\\|\\d+\\|\\|(([a-z]+)\\.)'),
      regex('response_code', '_rq(_([0-9]{3}))$'),
    ],
    undefined,
  );
  assert.deepEqual(tag('cluster.outbound|80||c.b.svc;.upstream_rq_200'), {
    name: 'cluster.upstream_rq',
    labels: { cluster_name: 'outbound|80||c.b.svc', service: 'c', response_code: '200' },
  });
  assert.deepEqual(tag('cluster.backend.upstream_cx_total'), {
    name: 'cluster.backend.upstream_cx_total',
    labels: {},
  });
});
