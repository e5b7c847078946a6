import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request } from 'node:http';
import { type AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import { type Log, silentLog } from '@meltemi/base';
import { runWait } from '../commands/wait.ts';
import { type ApplicationProbe, createApplicationProbes, parseApplicationProbes } from './application-probes.ts';
import type { LocalResponse } from './local-http.ts';
import { createMetricsMerger } from './merged-metrics.ts';
import { createReadiness } from './readiness.ts';
import { readScrapeTargets } from './scrape-target.ts';
import { type StatusServer, startStatusServer } from './status-server.ts';

/** A proxy's admin port as the agent sees it. */
interface FakeProxy {
  stats: string;
  ready: { statusCode: number; body: string };
}

const ACCEPTED =
  'cluster_manager.cds.update_success: 1\nlistener_manager.lds.update_success: 1\nlistener_manager.workers_started: 1\n';

function answer(statusCode: number, body: string, contentType = 'text/plain'): LocalResponse {
  return { statusCode, headers: { 'content-type': contentType }, body };
}

async function call(
  port: number,
  path: string,
  options: { method?: string; host?: string } = {},
): Promise<{ status: number; body: string; type: string }> {
  const outgoing = request({
    host: options.host ?? '127.0.0.1',
    port,
    path,
    method: options.method ?? 'GET',
    agent: false,
  });
  outgoing.end();
  const [incoming] = await once(outgoing, 'response');
  let body = '';
  for await (const chunk of incoming) body += String(chunk);
  return { status: incoming.statusCode, body, type: incoming.headers['content-type'] ?? '' };
}

async function start(
  proxy: FakeProxy,
  log: Log = silentLog,
  declared?: Readonly<Record<string, ApplicationProbe>>,
): Promise<StatusServer & { readiness: ReturnType<typeof createReadiness>; events: string[] }> {
  const events: string[] = [];
  const readiness = createReadiness({
    adminPort: 1,
    request: async ({ path }) =>
      path === '/ready' ? answer(proxy.ready.statusCode, proxy.ready.body) : answer(200, proxy.stats),
  });
  const probes = parseApplicationProbes(declared === undefined ? undefined : JSON.stringify(declared));
  assert.ok(probes.ok);
  const server = await startStatusServer({
    port: 0,
    readiness,
    scrape: async () => ({ contentType: 'text/plain', body: 'a 1\n' }),
    probes: createApplicationProbes(probes.value, '127.0.0.1'),
    onQuit: () => void events.push('quit'),
    onDrain: async () => void events.push('drain'),
    log,
  });
  return Object.assign(server, { readiness, events });
}

test('SEC-61 readiness is 503 until clusters and listeners were accepted, names a rejection, and is 503 again at the end', async () => {
  const proxy: FakeProxy = { stats: '', ready: { statusCode: 503, body: 'INITIALIZING' } };
  const logged: string[] = [];
  await using server = await start(proxy, { ...silentLog, info: (message) => void logged.push(message) });
  const ready = (): Promise<{ status: number; body: string }> => call(server.port, '/healthz/ready');
  assert.equal((await ready()).status, 503);
  proxy.stats = 'cluster_manager.cds.update_success: 1\nlistener_manager.lds.update_rejected: 2\n';
  const rejected = await ready();
  assert.equal(rejected.status, 503);
  assert.match(rejected.body, /was rejected.*listeners: 0 accepted, 2 rejected/);
  assert.match(logged.join('\n'), /was rejected/);
  proxy.stats = ACCEPTED;
  assert.match((await ready()).body, /the proxy is INITIALIZING/);
  proxy.ready = { statusCode: 200, body: 'LIVE' };
  assert.equal((await ready()).status, 200);
  proxy.stats = '';
  proxy.ready = { statusCode: 503, body: 'DRAINING' };
  assert.equal((await ready()).status, 200, 'what was there once is remembered');
  server.readiness.terminate();
  assert.equal((await ready()).status, 503);
});

test('SEC-62 `wait` ends with 0 when the sidecar is ready, and with an error when time is up', async () => {
  const proxy: FakeProxy = { stats: '', ready: { statusCode: 200, body: 'LIVE' } };
  await using server = await start(proxy);
  const errors: string[] = [];
  const run = (timeoutSeconds: string): Promise<number> =>
    runWait({
      args: [
        '--url',
        `http://127.0.0.1:${server.port}/healthz/ready`,
        '--timeoutSeconds',
        timeoutSeconds,
        '--periodMillis',
        '20',
      ],
      env: {},
      print: () => {},
      printError: (line) => void errors.push(line),
    });
  assert.notEqual(await run('0.1'), 0);
  assert.match(errors[0] ?? '', /not ready after 0\.1 s: status 503/);
  const waiting = run('10');
  proxy.stats = ACCEPTED;
  assert.equal(await waiting, 0);
});

test('request targets are taken as they are sent: none is resolved to another one, and none ends the sidecar', async () => {
  await using server = await start({ stats: ACCEPTED, ready: { statusCode: 200, body: 'LIVE' } });
  for (const target of ['*', 'http://[::1/', 'http://127.0.0.1/healthz/ready'])
    assert.equal((await call(server.port, target)).status, 400, target);
  for (const target of ['//', '//[', '/healthz/ready/../../quitquitquit', '/healthz/ready/%2e%2e/../quitquitquit'])
    assert.equal((await call(server.port, target, { method: 'POST' })).status, 404, target);
  assert.deepEqual(server.events, []);
  assert.equal((await call(server.port, '/healthz/ready')).status, 200);
});

test('what a sidecar passes on from others may not end the sidecar', async () => {
  await using server = await start({ stats: ACCEPTED, ready: { statusCode: 200, body: 'LIVE' } });
  const passedOn = request({
    host: '127.0.0.1',
    port: server.port,
    path: '/quitquitquit',
    method: 'POST',
    localAddress: '127.0.0.6',
    agent: false,
  });
  const [refused] = await once(passedOn.end(), 'response');
  refused.resume();
  assert.equal(refused.statusCode, 403);
  assert.deepEqual(server.events, []);
});

test('SEC-64 `/quitquitquit` and `/drain` take only POST, and only from the pod itself', async () => {
  await using server = await start({ stats: '', ready: { statusCode: 200, body: '' } });
  for (const path of ['/quitquitquit', '/drain']) {
    assert.equal((await call(server.port, path)).status, 405);
    assert.equal((await call(server.port, path, { method: 'POST' })).status, 200);
  }
  assert.deepEqual(server.events, ['quit', 'drain']);
  const outside = Object.values(networkInterfaces())
    .flat()
    .find((address) => address?.family === 'IPv4' && !address.internal)?.address;
  if (outside === undefined) return;
  assert.equal((await call(server.port, '/quitquitquit', { method: 'POST', host: outside })).status, 403);
  assert.equal(server.events.length, 2);
});

test('SEC-65 metrics of proxy and application come as one document with one end, and an application that is down is counted', async () => {
  let application: LocalResponse | Error = answer(
    200,
    'app_total 1\n# EOF\n',
    'application/openmetrics-text; version=1.0.0',
  );
  const scrape = createMetricsMerger({
    agentMetrics: () => 'istio_agent_uptime_seconds 1\n',
    proxyPort: 15_090,
    applications: [{ port: 9090, path: '/m' }],
    request: async ({ port, path }) => {
      if (port === 15_090) return answer(200, `envoy_server_live 1\n# query ${path}\n`);
      if (application instanceof Error) throw application;
      return application;
    },
  });
  const merged = await scrape({ accept: 'application/openmetrics-text', query: '?usedonly' });
  assert.match(merged.contentType, /openmetrics/);
  assert.equal(merged.body.split('# EOF').length, 2);
  assert.ok(merged.body.endsWith('app_total 1\n# EOF\n'));
  assert.match(merged.body, /# query \/stats\/prometheus\?usedonly/);
  application = new Error('connection refused');
  const after = await scrape({ accept: '', query: '' });
  assert.match(after.contentType, /^text\/plain/);
  assert.match(after.body, /istio_agent_scrape_failures_total\{type="application"\} 1\n/);
  assert.match(after.body, /envoy_server_live 1/);
  assert.doesNotMatch(after.body, /app_total|EOF/);
});

test('readiness waits for workers, and for what else has to be there', async () => {
  let names: string | undefined = 'no table of names yet';
  let stats = ACCEPTED.replace('workers_started: 1', 'workers_started: 0');
  const readiness = createReadiness({
    adminPort: 1,
    conditions: [() => names],
    request: async ({ path }) => answer(200, path === '/ready' ? 'LIVE' : stats),
  });
  const why = async (): Promise<string> => {
    const ready = await readiness.check();
    return ready.ok ? 'ready' : ready.error;
  };
  assert.equal(await why(), 'no table of names yet');
  names = undefined;
  assert.match(await why(), /workers/);
  stats = ACCEPTED;
  assert.equal(await why(), 'ready');
  names = 'gone';
  assert.equal(await why(), 'ready');
});

test('SEC-65 several targets come in declared order with one end; mixed formats are text, failures are counted', async () => {
  const answers = new Map<number, LocalResponse>([
    [1, answer(200, 'one 1\n# EOF\n', 'application/openmetrics-text; version=1.0.0')],
    [2, answer(200, 'two 1\n# EOF\n', 'application/openmetrics-text; version=1.0.0')],
  ]);
  const scrape = createMetricsMerger({
    agentMetrics: () => '',
    proxyPort: undefined,
    applications: [1, 3, 2].map((port) => ({ port, path: '/metrics' })),
    request: async ({ port }) => answers.get(port) ?? answer(500, ''),
  });
  const merged = await scrape({ accept: '', query: '' });
  assert.match(merged.contentType, /openmetrics/);
  assert.match(merged.body, /\{type="application"\} 1\n.*\none 1\ntwo 1\n# EOF\n$/s);
  assert.match(merged.body, /\{type="envoy"\} 0\n/);
  answers.set(3, answer(200, 'three 1\n'));
  const mixed = await scrape({ accept: '', query: '' });
  assert.match(mixed.contentType, /^text\/plain/);
  assert.match(mixed.body, /one 1\nthree 1\ntwo 1\n$/);
});

test('scrape annotations say where the application serves, or that it does not', () => {
  assert.deepEqual(readScrapeTargets('{"scrape":"true","port":"9090","path":""}'), [{ port: 9090, path: '/metrics' }]);
  const several = '{"scrape":"true","targets":[{"port":"1","path":"/a"},{"port":"2"}]}';
  assert.deepEqual(readScrapeTargets(several), [
    { port: 1, path: '/a' },
    { port: 2, path: '/metrics' },
  ]);
  assert.deepEqual(readScrapeTargets('{"scrape":"false","port":"9090"}'), []);
  assert.deepEqual(readScrapeTargets(undefined), []);
  assert.deepEqual(readScrapeTargets('{'), []);
});

test('application probes return what the application answered: status, redirects as success, refusals and timeouts as 500', async () => {
  const statuses: Readonly<Record<string, number>> = { '/ok': 200, '/broken': 500, '/moved': 302 };
  const locations: Readonly<Record<string, string>> = {
    '/moved': 'http://elsewhere.example/',
    '/here': '/broken',
    '/round': '/round',
  };
  const application = createServer((incoming, response) => {
    if (incoming.url === '/slow') return;
    const location = locations[incoming.url ?? ''];
    if (location !== undefined) response.setHeader('location', location);
    response.writeHead(location === undefined ? (statuses[incoming.url ?? ''] ?? 404) : 302);
    response.end(String(incoming.headers['x-probe'] ?? ''));
  }).listen(0, '127.0.0.1');
  await once(application, 'listening');
  const { port } = application.address() as AddressInfo;
  try {
    const httpGet = (path: string): ApplicationProbe => ({
      httpGet: { path, port, httpHeaders: [{ name: 'X-Probe', value: 'yes' }] },
      timeoutSeconds: 0.2,
    });
    const probes = createApplicationProbes(
      new Map<string, ApplicationProbe>([
        ['/app-health/app/readyz', httpGet('/ok')],
        ['/app-health/app/livez', httpGet('/broken')],
        ['/app-health/app/startupz', httpGet('/moved')],
        ['/app-health/here/readyz', httpGet('/here')],
        ['/app-health/round/readyz', httpGet('/round')],
        ['/app-lifecycle/app/prestopz', httpGet('/ok')],
        ['/app-health/slow/readyz', httpGet('/slow')],
        ['/app-health/tcp/readyz', { tcpSocket: { port } }],
        ['/app-health/closed/readyz', { tcpSocket: { port: 1 } }],
      ]),
      '127.0.0.1',
    );
    const run = async (path: string): Promise<number> => (await probes.run(path, {})).statusCode;
    assert.deepEqual(await probes.run('/app-health/app/readyz', {}), { statusCode: 200, body: 'yes' });
    assert.equal(await run('/app-health/app/livez'), 500);
    assert.equal(await run('/app-health/app/startupz'), 200);
    assert.equal(await run('/app-health/here/readyz'), 500);
    assert.equal(await run('/app-health/round/readyz'), 500);
    assert.equal(await run('/app-lifecycle/app/prestopz'), 200);
    assert.equal(await run('/app-health/slow/readyz'), 500);
    assert.equal(await run('/app-health/tcp/readyz'), 200);
    assert.equal(await run('/app-health/closed/readyz'), 500);
    assert.equal(await run('/app-health/unknown/readyz'), 400);
  } finally {
    application.close();
    application.closeAllConnections();
  }
});

test('a lifecycle hook runs once at a time, and ends when its caller goes', async () => {
  const application = createServer(() => {}).listen(0, '127.0.0.1');
  await once(application, 'listening');
  const { port } = application.address() as AddressInfo;
  const hook: ApplicationProbe = { httpGet: { port }, timeoutSeconds: 3600 };
  const path = '/app-lifecycle/app/prestopz';
  await using server = await start({ stats: '', ready: { statusCode: 200, body: '' } }, silentLog, { [path]: hook });
  try {
    for (let round = 0; round < 2; round += 1) {
      const asked = once(application, 'request');
      const caller = request({ host: '127.0.0.1', port: server.port, path, agent: false }).on('error', () => {});
      caller.end();
      const [hooked] = (await asked) as [IncomingMessage];
      const ended = once(hooked.socket, 'close');
      assert.equal((await call(server.port, path)).status, 409);
      caller.destroy();
      await ended;
    }
  } finally {
    application.close();
    application.closeAllConnections();
  }
});

test('a gRPC probe succeeds when the health service says SERVING, and comes from where the sidecar calls', async () => {
  const asked: string[] = [];
  const server = new Server();
  const pass = (bytes: Buffer): Buffer => bytes;
  const definition = {
    check: {
      path: '/grpc.health.v1.Health/Check',
      requestStream: false,
      responseStream: false,
      requestSerialize: pass,
      requestDeserialize: pass,
      responseSerialize: pass,
      responseDeserialize: pass,
    },
  };
  server.addService(definition, {
    check(call: ServerUnaryCall<Buffer, Buffer>, reply: sendUnaryData<Buffer>) {
      const service = call.request.subarray(2).toString();
      asked.push(`${service} from ${call.getPeer().split(':')[0]}`);
      if (service === 'unknown') reply({ code: 5, details: 'no such service' });
      else reply(null, Buffer.from([0x08, service === 'down' ? 2 : 1]));
    },
  });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  try {
    const probe = (service?: string, at = port): ApplicationProbe => ({
      grpc: { port: at, ...(service === undefined ? {} : { service }) },
      timeoutSeconds: 2,
    });
    const probes = createApplicationProbes(
      new Map([
        ['/up', probe()],
        ['/down', probe('down')],
        ['/unknown', probe('unknown')],
        ['/closed', probe('', 1)],
      ]),
      '127.0.0.1',
    );
    assert.deepEqual(await probes.run('/up', {}), { statusCode: 200, body: '' });
    assert.deepEqual(await probes.run('/down', {}), { statusCode: 500, body: 'the application is NOT_SERVING\n' });
    assert.deepEqual(await probes.run('/unknown', {}), { statusCode: 500, body: 'gRPC status 5\n' });
    assert.equal((await probes.run('/closed', {})).statusCode, 500);
    assert.deepEqual(asked, [' from 127.0.0.6', 'down from 127.0.0.6', 'unknown from 127.0.0.6']);
  } finally {
    server.forceShutdown();
  }
});
