import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, zstdDecompress } from 'node:zlib';
import { buildBootstrap, buildStatsSettings } from '@meltemi/agent';
import { createProxy, DEFAULT_PROXY_SETTINGS, readBootstrap } from '@meltemi/proxy';
import { eventually, freePort, needPeer } from '@meltemi/testing';
import { startEnvoy } from './envoy-process.ts';

/** A data plane that serves the sidecar's static part: metrics, and readiness in front of the agent. */
interface Plane extends AsyncDisposable {
  admin(path: string): Promise<string>;
}

/** A plane that has served requests. */
interface ServingPlane extends Plane {
  /** What a scrape is answered with, and its text when it is unpacked. */
  scrape(acceptEncoding: string | undefined): Promise<readonly (string | undefined)[]>;
}

const REQUESTS = 3;
const SYNC_MS = 15_000;
const METRICS = 'a_metric{and="its label"} 1\n'.repeat(100);
const DECODERS: Readonly<Record<string, (bytes: Buffer) => Promise<Buffer>>> = {
  br: promisify(brotliDecompress),
  gzip: promisify(gunzip),
  zstd: promisify(zstdDecompress),
};
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

interface Ports {
  readonly agent: number;
  readonly readiness: number;
  /** Where metrics are scraped; behind it stands the agent's double. */
  readonly prometheus: number;
}

function bootstrapFor(ports: Ports): object {
  const annotations = Object.entries(ANNOTATIONS).map(([name, value]) => [`sidecar.istio.io/${name}`, value]);
  const { dynamic_resources: _, ...bootstrap } = buildBootstrap({
    node: { id: 'sidecar~127.0.0.1~a.b~c', cluster: 'a', metadata: {} },
    stats: buildStatsSettings({
      annotations: Object.fromEntries(annotations),
      proxyConfig: {},
      instanceIps: ['127.0.0.1'],
      exitsOnZeroConnections: false,
      isRegexp: () => true,
    }),
    // Where scrapes go; admin itself is where the planes are told.
    adminPort: ports.agent,
    agentPort: ports.agent,
    prometheusPort: ports.prometheus,
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
  const server = createServer((incoming, response) => {
    response.setHeader('content-type', 'text/plain');
    response.end(incoming.url === '/stats/prometheus' ? METRICS : 'ready');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function startOwnProxy(bootstrap: object): Promise<Plane> {
  const admin = { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } };
  const overlayText = JSON.stringify({ ...bootstrap, admin });
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
async function startPlane(t: TestContext, start: (bootstrap: object) => Promise<Plane>): Promise<ServingPlane> {
  const [readiness, prometheus] = [await freePort(), await freePort()];
  const plane = await start(bootstrapFor({ agent: await listen(t), readiness, prometheus }));
  t.after(() => plane[Symbol.asyncDispose]());
  await eventually(async () => (await plane.admin('/ready')) === 'LIVE\n', SYNC_MS);
  for (let index = 0; index < REQUESTS; index += 1) {
    const headers = { connection: 'close' };
    const response = await fetch(`http://127.0.0.1:${readiness}/healthz/ready`, { headers });
    assert.equal(await response.text(), 'ready');
  }
  await eventually(async () => /_rq_time_count\{.*\} 3$/m.test(await plane.admin('/stats/prometheus')), SYNC_MS);
  return {
    ...plane,
    scrape: (acceptEncoding) => scrape(prometheus, acceptEncoding),
    [Symbol.asyncDispose]: () => plane[Symbol.asyncDispose](),
  };
}

async function scrape(port: number, acceptEncoding: string | undefined): Promise<readonly (string | undefined)[]> {
  const headers = acceptEncoding === undefined ? {} : { 'accept-encoding': acceptEncoding };
  const outgoing = request({ host: '127.0.0.1', port, path: '/stats/prometheus', headers, agent: false });
  const [incoming] = (await once(outgoing.end(), 'response')) as [IncomingMessage];
  const body = await buffer(incoming);
  const encoding = incoming.headers['content-encoding'];
  const text = encoding === undefined ? body : await DECODERS[encoding]?.(body);
  return [encoding, incoming.headers.vary, text?.toString()];
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
  const wishes = [
    ...[undefined, 'identity', 'gzip', 'br', 'zstd', 'deflate', '*'],
    ...['gzip, br, zstd', 'zstd, gzip', 'br;q=0.1, gzip;q=0.9', 'gzip;q=0, zstd', 'identity, gzip;q=0.5'],
  ];
  for (const wish of wishes) {
    const expected = await theirs.scrape(wish);
    assert.equal(expected[2], METRICS);
    assert.deepEqual(await ours.scrape(wish), expected, wish);
  }
});
