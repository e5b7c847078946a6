import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { findPeer } from '@meltemi/testing';
import { type BootstrapInput, buildBootstrap } from './bootstrap.ts';
import { buildNode } from './node.ts';
import { parseDownwardPairs } from './pod-info.ts';
import { parseProxyConfig } from './proxy-config.ts';
import { buildStatsSettings } from './stats-settings.ts';

const NODE = buildNode({
  type: 'sidecar',
  env: {
    POD_NAME: 'sleep-1',
    POD_NAMESPACE: 'app1',
    SERVICE_ACCOUNT: 'sleep',
    ISTIO_META_CLUSTER_ID: 'cluster1',
    ISTIO_META_NETWORK: 'network1',
    ISTIO_METAJSON_EXTRA: '{"a":1}',
    ISTIO_METAJSON_BROKEN: '{',
    ISTIO_METAJSON_LIST: '[1]',
    ISTIO_METAJSON_LABELS: '{"tier":"front"}',
  },
  podInfo: { labels: { app: 'sleep', 'istio-locality': 'eu.eu-1' }, annotations: {} },
  domain: 'app1.svc.cluster.local',
  serviceCluster: 'istio-proxy',
  instanceIps: ['10.11.1.7', 'fd00::7'],
  proxyConfig: { concurrency: 2 },
  prometheusPort: 15_090,
  statusPort: 15_021,
});

const INPUT: BootstrapInput = {
  node: NODE,
  stats: buildStatsSettings({
    annotations: {},
    proxyConfig: {},
    instanceIps: ['10.11.1.7'],
    exitsOnZeroConnections: false,
    isRegexp: () => true,
  }),
  adminPort: 15_000,
  agentPort: 15_020,
  prometheusPort: 15_090,
  readinessPort: 15_021,
  sdsSocketPath: '/var/run/secrets/workload-spiffe-uds/socket',
  adsSocketPath: '/etc/istio/proxy/XDS',
  deltaDiscovery: true,
  soMark: 1337,
};

test('the node says who and where the pod is', () => {
  assert.equal(NODE.id, 'sidecar~10.11.1.7~sleep-1.app1~app1.svc.cluster.local');
  assert.equal(NODE.cluster, 'sleep.app1');
  assert.deepEqual(NODE.locality, { region: 'eu', zone: 'eu-1' });
  const { CLUSTER_ID, NETWORK, NAMESPACE, SERVICE_ACCOUNT, INSTANCE_IPS, LABELS } = NODE.metadata;
  assert.deepEqual([CLUSTER_ID, NETWORK, NAMESPACE, SERVICE_ACCOUNT], ['cluster1', 'network1', 'app1', 'sleep']);
  assert.equal(INSTANCE_IPS, '10.11.1.7,fd00::7');
  assert.deepEqual(LABELS, { app: 'sleep', 'istio-locality': 'eu.eu-1', tier: 'front' });
  const { a, tier, EXTRA, BROKEN, LIST } = NODE.metadata;
  assert.deepEqual([a, tier, EXTRA, BROKEN, LIST], [1, 'front', undefined, undefined, undefined]);
});

test('discovery is delta by default and state of the world on demand', () => {
  const apiType = (deltaDiscovery: boolean): unknown =>
    (buildBootstrap({ ...INPUT, deltaDiscovery })['dynamic_resources'] as { ads_config: { api_type: string } })
      .ads_config.api_type;
  assert.equal(apiType(true), 'DELTA_GRPC');
  assert.equal(apiType(false), 'GRPC');
});

test('the listeners for everybody lead to one page each, not to the server behind it', () => {
  const text = JSON.stringify(buildBootstrap(INPUT)['static_resources']);
  const matches = [...text.matchAll(/"match":(\{[^}]*\})/g)].map(([, match = '']) => JSON.parse(match) as unknown);
  assert.deepEqual(matches, [{ path: '/stats/prometheus' }, { path: '/healthz/ready' }]);
});

test('only a mark brings a bind configuration', () => {
  assert.equal(buildBootstrap({ ...INPUT, soMark: undefined })['cluster_manager'], undefined);
  assert.match(
    JSON.stringify(buildBootstrap(INPUT)['cluster_manager']),
    /"level":1,"name":36,"int_value":1337,"state":"STATE_PREBIND"/,
  );
});

test('downward API files are unquoted as Go quotes them', () => {
  const pairs = parseDownwardPairs('app="sleep"\nnote="a \\"b\\"\\n\\x41 ünï=c"\n\nbroken\nbad="x');
  assert.deepEqual(pairs, { app: 'sleep', note: 'a "b"\nA ünï=c' });
});

test('ProxyConfig comes as JSON or YAML, defaults filled in, and a bad duration names its field', async () => {
  const empty = await parseProxyConfig('');
  assert.ok(empty.ok);
  assert.equal(empty.value.terminationDrainDurationMs, 5000);
  assert.equal(empty.value.binaryPath, undefined);
  const yaml = await parseProxyConfig('concurrency: 3\nproxyMetadata:\n  ISTIO_META_DNS_CAPTURE: true\n');
  assert.ok(yaml.ok);
  assert.equal(yaml.value.concurrency, 3);
  assert.deepEqual(yaml.value.proxyMetadata, { ISTIO_META_DNS_CAPTURE: 'true' });
  const zero = await parseProxyConfig('{"concurrency":0}');
  assert.ok(zero.ok);
  assert.deepEqual([zero.value.concurrency, empty.value.concurrency], [0, undefined]);
  const bad = await parseProxyConfig('{"drainDuration":"soon"}');
  assert.match(bad.ok ? '' : bad.error, /ProxyConfig\.drainDuration: "soon"/);
});

test('ProxyConfig is layered field by field: mesh file, PROXY_CONFIG, annotation; metadata is joined', async () => {
  const layered = await parseProxyConfig('{"drainDuration":"10s","proxyMetadata":{"B":"env","C":"env"}}', {
    meshFile:
      'defaultConfig:\n  drainDuration: 1s\n  concurrency: 7\n  statusPort: 1\n  proxyMetadata: {A: mesh, B: mesh}\n',
    annotation: '{"statusPort":15099,"proxyMetadata":{"C":"pod"}}',
  });
  assert.ok(layered.ok);
  const { drainDurationMs, concurrency, statusPort, proxyMetadata } = layered.value;
  assert.deepEqual([drainDurationMs, concurrency, statusPort], [10_000, 7, 15_099]);
  assert.deepEqual(proxyMetadata, { A: 'mesh', B: 'env', C: 'pod' });
  const broken = await parseProxyConfig('', { annotation: '{' });
  assert.match(broken.ok ? '' : broken.error, /annotation proxy\.istio\.io\/config/);
});

const envoy = findPeer('envoy');
const noEnvoy = envoy === undefined ? 'envoy is missing; run "npm run peers"' : false;

test('real Envoy accepts the bootstrap, delta and state of the world, with and without a mark', {
  skip: noEnvoy,
}, () => {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-bootstrap-'));
  try {
    for (const change of [{}, { deltaDiscovery: false }, { soMark: undefined }]) {
      const path = join(directory, 'bootstrap.json');
      writeFileSync(path, JSON.stringify(buildBootstrap({ ...INPUT, ...change })));
      const result = spawnSync(envoy ?? '', ['--mode', 'validate', '-c', path, '-l', 'error'], { encoding: 'utf8' });
      assert.equal(result.status, 0, result.stderr);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});
