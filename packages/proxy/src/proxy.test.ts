import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { JsonObject } from '@bufbuild/protobuf';
import { freePort } from '@meltemi/testing';
import { startScriptedServer } from '@meltemi/xds/client/testing';
import { startRecordingProxy } from './testing/recording-proxy.ts';
import {
  cluster,
  dynamicBootstrap,
  httpChain,
  listener,
  listenerJson,
  routeJson,
  staticCluster,
} from './testing/resources.ts';
import { TYPE_URLS } from './xds-client/type-urls.ts';

const WORKER = new URL('./worker/main.ts', import.meta.url);
const { cluster: CDS, listener: LDS } = TYPE_URLS;

function portOf(server: { address(): unknown }): number {
  const address = server.address();
  if (typeof address === 'object' && address !== null && 'port' in address) return Number(address.port);
  throw new Error('the server has no port');
}

/** An upstream that answers with its name, and what it was asked. */
async function startUpstream(name: string): Promise<{ readonly port: number } & AsyncDisposable> {
  const server: Server = createServer((request, response) => {
    request.resume();
    response.end(`${name} ${request.method} ${request.url} ${request.headers.host}`);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: portOf(server),
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      if (server.listening) await once(server, 'close');
    },
  };
}

async function get(
  port: number,
  path = '/',
  headers: Record<string, string> = {},
): Promise<{ status: number; body: string }> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: 'close', ...headers } });
  return { status: response.status, body: await response.text() };
}

const staticBootstrap = (listeners: JsonObject[], clusters: JsonObject[], adminPort = 0): JsonObject => ({
  node: { id: 'n1', cluster: 'c1' },
  admin: { address: { socket_address: { address: '127.0.0.1', port_value: adminPort } } },
  static_resources: { listeners, clusters },
});

test('a static listener and cluster are served by real workers', async () => {
  await using upstream = await startUpstream('up');
  const port = await freePort();
  const chain = httpChain({ route_config: routeJson('local', 'backend') });
  const bootstrap = staticBootstrap([listenerJson('http', port, chain)], [staticCluster('backend', upstream.port)]);
  await using recording = await startRecordingProxy(bootstrap, { concurrency: 2 }, WORKER);
  assert.deepEqual(await get(port, '/hello?x=1'), { status: 200, body: `up GET /hello?x=1 127.0.0.1:${port}` });
  assert.equal((await recording.admin('/ready')).body, 'LIVE\n');
  const clusters = (await recording.admin('/clusters')).body;
  assert.match(clusters, new RegExp(`^backend::127\\.0\\.0\\.1:${upstream.port}::rq_success::1$`, 'm'));
  assert.match((await recording.admin('/stats')).body, /^cluster\.backend\.upstream_rq_200: 1$/m);
  assert.match(
    (await recording.admin('/stats/prometheus')).body,
    /^envoy_cluster_upstream_rq\{.*envoy_cluster_name="backend".*\} 1$/m,
  );
});

test("a metric of Istio's filters is dropped when it does not change for the eviction interval, and begins anew", async () => {
  await using upstream = await startUpstream('up');
  const port = await freePort();
  const istioStats = { name: 'istio.stats', typed_config: { '@type': 'type.googleapis.com/stats.PluginConfig' } };
  const chain = httpChain({ route_config: routeJson('local', 'backend') }, [istioStats]);
  const bootstrap = {
    ...staticBootstrap([listenerJson('http', port, chain)], [staticCluster('backend', upstream.port)]),
    stats_flush_interval: '0.3s',
    stats_eviction_interval: '0.6s',
  };
  await using recording = await startRecordingProxy(bootstrap, { concurrency: 1 }, WORKER);
  const requests = async (): Promise<string | undefined> =>
    /^istio_requests_total\{.*\} (\d+)$/m.exec((await recording.admin('/stats/prometheus')).body)?.[1];
  await get(port);
  await recording.eventually(async () => (await requests()) === '1');
  await recording.eventually(async () => (await requests()) === undefined);
  await get(port);
  await recording.eventually(async () => (await requests()) === '1');
  const odd = { ...bootstrap, stats_eviction_interval: '0.5s' };
  await assert.rejects(startRecordingProxy(odd), /stats_eviction_interval: a multiple of stats_flush_interval/);
});

test("an agent's static listeners reach admin metrics and the agent's readiness through the ordinary data path", async () => {
  await using agent = await startUpstream('agent');
  const [metricsPort, readinessPort, adminPort] = [await freePort(), await freePort(), await freePort()];
  const routed = (path: string, target: string): JsonObject =>
    httpChain({
      route_config: {
        name: target,
        virtual_hosts: [
          { name: 'backend', domains: ['*'], routes: [{ match: { prefix: path }, route: { cluster: target } }] },
        ],
      },
    });
  const bootstrap = staticBootstrap(
    [
      listenerJson('metrics', metricsPort, routed('/stats/prometheus', 'prometheus_stats')),
      listenerJson('readiness', readinessPort, routed('/healthz/ready', 'agent')),
    ],
    [staticCluster('prometheus_stats', adminPort), staticCluster('agent', agent.port)],
    adminPort,
  );
  await using _recording = await startRecordingProxy(bootstrap, {}, WORKER);
  const metrics = await get(metricsPort, '/stats/prometheus');
  assert.equal(metrics.status, 200);
  assert.match(metrics.body, /^envoy_server_live\{\} 1$/m);
  assert.match((await get(readinessPort, '/healthz/ready')).body, /^agent GET \/healthz\/ready/);
  assert.equal((await get(readinessPort, '/other')).status, 404);
});

test('an acknowledged change is obeyed by the very next request, in every worker', async () => {
  await using server = await startScriptedServer();
  await using first = await startUpstream('first');
  await using second = await startUpstream('second');
  const port = await freePort();
  await using _recording = await startRecordingProxy(
    dynamicBootstrap(server.target, 'GRPC'),
    { concurrency: 2 },
    WORKER,
  );
  const stream = await server.nextSotwStream();
  await stream.next();
  const clusters = [cluster(staticCluster('first', first.port)), cluster(staticCluster('second', second.port))];
  stream.send({ typeUrl: CDS, versionInfo: '1', nonce: 'c1', resources: clusters });
  await stream.next();
  await stream.next();
  for (const [index, target] of ['first', 'second', 'first', 'second'].entries()) {
    const chain = httpChain({ route_config: routeJson('r', target) });
    const resources = [listener(listenerJson('http', port, chain))];
    stream.send({ typeUrl: LDS, versionInfo: `${index}`, nonce: `l${index}`, resources });
    assert.equal((await stream.next()).errorDetail, undefined);
    const answers = await Promise.all(Array.from({ length: 12 }, () => get(port)));
    assert.deepEqual([...new Set(answers.map(({ body }) => body.split(' ')[0]))], [target]);
  }
});

test('PROXY-05 after a refused listener the old one keeps serving', async () => {
  await using server = await startScriptedServer();
  await using upstream = await startUpstream('up');
  const port = await freePort();
  await using recording = await startRecordingProxy(dynamicBootstrap(server.target, 'GRPC'), {}, WORKER);
  const stream = await server.nextSotwStream();
  await stream.next();
  stream.send({
    typeUrl: CDS,
    versionInfo: '1',
    nonce: 'c1',
    resources: [cluster(staticCluster('up', upstream.port))],
  });
  await stream.next();
  await stream.next();
  const good = listenerJson('http', port, httpChain({ route_config: routeJson('r', 'up') }));
  stream.send({ typeUrl: LDS, versionInfo: '1', nonce: 'l1', resources: [listener(good)] });
  await stream.next();
  const rbac = {
    name: 'rbac',
    typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC' },
  };
  const bad = listenerJson('http', port, httpChain({ route_config: routeJson('r', 'up') }, [rbac]));
  stream.send({ typeUrl: LDS, versionInfo: '2', nonce: 'l2', resources: [listener(bad)] });
  assert.match((await stream.next()).errorDetail?.message ?? '', /envoy\.extensions\.filters\.http\.rbac\.v3\.RBAC/);
  assert.equal((await get(port)).status, 200);
  assert.match((await recording.admin('/stats?filter=lds.update_rejected')).body, /: 1\n/);
});

test('the program serves, writes its admin address, and ends with 0 after SIGTERM and after quitquitquit', async (t) => {
  await using upstream = await startUpstream('up');
  const directory = await mkdtemp(join(tmpdir(), 'meltemi-proxy-'));
  t.after(() => rm(directory, { recursive: true }));
  const main = fileURLToPath(new URL('./main.ts', import.meta.url));
  for (const ending of ['SIGTERM', 'quitquitquit']) {
    const port = await freePort();
    const chain = httpChain({ route_config: routeJson('local', 'backend') });
    const path = join(directory, 'bootstrap.json');
    const addressPath = join(directory, ending);
    const bootstrap = staticBootstrap([listenerJson('http', port, chain)], [staticCluster('backend', upstream.port)]);
    await writeFile(path, JSON.stringify(bootstrap));
    const child = spawn(
      process.execPath,
      [main, '-c', path, '--concurrency', '1', '--admin-address-path', addressPath],
      {
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    const lines: string[] = [];
    child.stderr.setEncoding('utf8').on('data', (text: string) => lines.push(text));
    const exited = once(child, 'exit');
    try {
      const deadlineMs = Date.now() + 15_000;
      while (!lines.join('').includes('proxy started')) {
        if (Date.now() > deadlineMs || child.exitCode !== null) throw new Error(`not started: ${lines.join('')}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      assert.equal((await get(port)).status, 200);
      if (ending === 'SIGTERM') child.kill('SIGTERM');
      else await fetch(`http://${await readFile(addressPath, 'utf8')}/quitquitquit`, { method: 'POST' });
      assert.deepEqual(await exited, [0, null], lines.join(''));
    } finally {
      child.kill('SIGKILL');
    }
  }
});
