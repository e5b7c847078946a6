import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { buildBootstrap, buildStatsSettings } from '@meltemi/agent';
import { createProxy, DEFAULT_PROXY_SETTINGS, readBootstrap } from '@meltemi/proxy';
import { eventually, needPeer } from '@meltemi/testing';
import { startEnvoy } from './envoy-process.ts';

/** A data plane that serves the sidecar's static part: metrics, and readiness in front of the agent. */
interface Plane extends AsyncDisposable {
  admin(path: string): Promise<string>;
}

const REQUESTS = 3;
const SYNC_MS = 15_000;
const ANNOTATIONS = {
  statsInclusionPrefixes: 'cluster.agent,http.{pod_ip}_',
  statsInclusionSuffixes: 'downstream_rq_2xx',
  statsInclusionRegexps: 'listener.*cx_(total|active),http\\.agent\\..*_time',
  statsHistogramBuckets: '{"cluster.agent":[10000,1,60000],"http.agent":[2,20000]}',
  statsHistogramBins: '{"cluster":50,"server":20}',
  statsFlushInterval: '100ms',
  statsEvictionInterval: '1s',
  extraStatTags: 'request_host',
};

function bootstrapFor(ports: { readonly admin: number; readonly agent: number; readonly readiness: number }): object {
  const annotations = Object.entries(ANNOTATIONS).map(([name, value]) => [`sidecar.istio.io/${name}`, value]);
  const { dynamic_resources: _, ...bootstrap } = buildBootstrap({
    node: { id: 'sidecar~127.0.0.1~a.b~c', cluster: 'a', metadata: {} },
    stats: {
      ...buildStatsSettings({
        annotations: Object.fromEntries(annotations),
        proxyConfig: {},
        instanceIps: ['127.0.0.1'],
        exitsOnZeroConnections: false,
      }),
      compression: [],
    },
    adminPort: ports.admin,
    agentPort: ports.agent,
    prometheusPort: 0,
    readinessPort: ports.readiness,
    sdsSocketPath: '/nowhere/sds',
    adsSocketPath: '/nowhere/ads',
    deltaDiscovery: true,
    soMark: undefined,
    listenAddress: '127.0.0.1',
  });
  return bootstrap;
}

async function listen(t: TestContext): Promise<number> {
  const server = createServer((_, response) => response.end('ready'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function startOwnProxy(bootstrap: object): Promise<Plane> {
  const overlayText = JSON.stringify(bootstrap);
  const read = await readBootstrap({ path: undefined, overlayText, allowUnknownFields: true });
  const proxy = createProxy({
    bootstrap: read.bootstrap,
    settings: { ...DEFAULT_PROXY_SETTINGS, concurrency: 1 },
    onExit: ({ message }) => assert.fail(message),
  });
  await proxy.start();
  return {
    async admin(path) {
      const headers = { connection: 'close' };
      return (await fetch(`http://127.0.0.1:${proxy.adminAddress()?.port}${path}`, { headers })).text();
    },
    [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose](),
  };
}

/** Starts a plane and sends it the requests that it counts. */
async function startPlane(t: TestContext, start: (bootstrap: object) => Promise<Plane>): Promise<Plane> {
  const readiness = await freePort();
  const plane = await start(bootstrapFor({ admin: 0, agent: await listen(t), readiness }));
  t.after(() => plane[Symbol.asyncDispose]());
  await eventually(async () => (await plane.admin('/ready')) === 'LIVE\n', SYNC_MS);
  for (let index = 0; index < REQUESTS; index += 1) {
    const headers = { connection: 'close' };
    const response = await fetch(`http://127.0.0.1:${readiness}/healthz/ready`, { headers });
    assert.equal(await response.text(), 'ready');
  }
  await eventually(async () => /_rq_time_count\{.*\} 3$/m.test(await plane.admin('/stats/prometheus')), SYNC_MS);
  return plane;
}

const namesOf = (stats: string): readonly string[] =>
  stats.split('\n').flatMap((line) => /^([^ ]+): /.exec(line)?.[1] ?? []);

function sortLabels(line: string): string {
  return line.replace(/\{(.*)\}/, (_, labels: string) => `{${labels.split(',').sort().join(',')}}`);
}

const isIncluded = (name: string): boolean =>
  /^(cluster_manager|listener_manager|server|cluster\.(xds-grpc|agent)|wasm|reporter=|component|istio)/.test(name) ||
  /(rbac\.allowed|rbac\.denied|shadow_allowed|shadow_denied|downstream_rq_2xx)$/.test(name) ||
  /^(listener.*cx_(total|active)|http\.agent\..*_time|vhost\..*\.route\..*)$/.test(name);

test("the pod's annotations about statistics do the same in Envoy and in our proxy", async (t) => {
  const envoy = needPeer(t, 'envoy');
  if (envoy === undefined) return;
  const theirs = await startPlane(t, (bootstrap) => startEnvoy(envoy, bootstrap));
  const ours = await startPlane(t, startOwnProxy);
  const theirNames = namesOf(await theirs.admin('/stats'));
  const ourNames = namesOf(await ours.admin('/stats'));
  assert.deepEqual(
    theirNames.filter((name) => !isIncluded(name)),
    [],
  );
  assert.deepEqual(
    ourNames.filter((name) => !isIncluded(name)),
    [],
  );
  for (const name of [
    'cluster.agent;.upstream_rq_total',
    'cluster.agent;.upstream_rq_time',
    'http.agent.downstream_rq_2xx',
    'http.agent.downstream_rq_time',
    'listener_manager.workers_started',
    'server.live',
  ]) {
    assert.ok(theirNames.includes(name), `Envoy: ${name}`);
    assert.ok(ourNames.includes(name), name);
  }
  // Our workers have no part in discovery: nothing is counted of its cluster.
  const linesOf = async (plane: Plane, metric: string): Promise<readonly string[]> =>
    (await plane.admin('/stats/prometheus'))
      .split('\n')
      .filter((line) => line.startsWith(`${metric}{`) && !line.includes('"xds-grpc"'))
      .map(sortLabels);
  for (const metric of [
    'envoy_cluster_upstream_rq_total',
    'envoy_cluster_upstream_rq',
    'envoy_cluster_upstream_rq_time_bucket',
    'envoy_http_agent_downstream_rq_time_bucket',
    'envoy_http_agent_downstream_rq',
  ]) {
    // A fast request has no fixed time: only buckets that hold all of them can be compared by count.
    const shown = (lines: readonly string[]): readonly string[] =>
      lines.map((line) => line.replace(/(le="[12]".*\}) \d+$/, '$1')).sort();
    const expected = shown(await linesOf(theirs, metric));
    assert.notDeepEqual(expected, [], metric);
    assert.deepEqual(shown(await linesOf(ours, metric)), expected);
  }
});
