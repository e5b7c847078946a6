import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import { createServer as createHttp2Server, type Http2Server } from 'node:http2';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { after, before, test } from 'node:test';
import { silentLog } from '@meltemi/base';
import { DEFAULT_INJECTOR_CONFIG, injectPod } from '@meltemi/injector';
import type { Container, Pod, Probe } from '@meltemi/kube';
import { createApplicationProbes, parseApplicationProbes } from '../../packages/agent/src/status/application-probes.ts';
import { type StatusServer, startStatusServer } from '../../packages/agent/src/status/status-server.ts';

const HOST = '127.0.0.1';

/** The application of an injected pod: what it answers depends on the path. */
function startApplication(): Server {
  return createServer((message, response) => {
    if (message.url === '/slow') return;
    response.writeHead(message.url === '/broken' ? 500 : message.url === '/moved' ? 302 : 200);
    response.end(`${message.url} for ${String(message.headers['x-probe'])}`);
  });
}

async function portOf(server: {
  readonly address: () => unknown;
  readonly listen: (port: number, host: string) => unknown;
}) {
  server.listen(0, HOST);
  await once(server as Server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** A gRPC server that answers every question for its health with a status. */
function startGrpc(status: number): Http2Server {
  const server = createHttp2Server();
  server.on('stream', (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(Buffer.from([0, 0, 0, 0, 2, 0x08, status]));
  });
  return server;
}

const application = startApplication();
const serving = startGrpc(1);
const notServing = startGrpc(2);
const closed = createTcpServer();
let httpPort: number;
let closedPort: number;
let servingPort: number;
let notServingPort: number;

before(async () => {
  httpPort = await portOf(application);
  closedPort = await portOf(closed);
  closed.close();
  servingPort = await portOf(serving);
  notServingPort = await portOf(notServing);
});
after(() => {
  application.closeAllConnections();
  application.close();
  serving.close();
  notServing.close();
});

/** A container with one probe and a lifecycle, all by name of port where they can be. */
function container(name: string, probe: Probe, more: Partial<Container> = {}): Container {
  return { name, ports: [{ name: 'web', containerPort: httpPort }], readinessProbe: probe, ...more };
}

function get(path: string): Probe {
  return { httpGet: { path, port: 'web', httpHeaders: [{ name: 'X-Probe', value: 'me' }] }, timeoutSeconds: 1 };
}

/** Injects a pod and starts the agent's status server with what the injector tells it. */
async function startInjected(
  containers: readonly Container[],
): Promise<{ readonly pod: Pod; readonly status: StatusServer }> {
  const plain: Pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a' }, spec: { containers } };
  const injected = injectPod(plain, 'app1', DEFAULT_INJECTOR_CONFIG);
  assert.ok(injected.ok, injected.ok ? '' : injected.error);
  const proxy = injected.value.spec.containers.find(({ name }) => name === 'istio-proxy');
  const probes = parseApplicationProbes(proxy?.env?.find(({ name }) => name === 'ISTIO_KUBE_APP_PROBERS')?.value);
  assert.ok(probes.ok);
  const status = await startStatusServer({
    host: HOST,
    port: 0,
    readiness: { check: async () => ({ ok: true, value: undefined }) } as never,
    scrape: async () => ({ body: '', contentType: 'text/plain' }),
    probes: createApplicationProbes(probes.value, HOST),
    onQuit: () => {},
    onDrain: async () => {},
    log: silentLog,
  });
  return { pod: injected.value, status };
}

/** Asks as a kubelet does: what the injected pod says, at the port that the agent listens on. */
function ask(
  action: Probe['httpGet'],
  status: StatusServer,
): Promise<{ readonly code: number; readonly body: string }> {
  assert.equal(action?.port, 15_020);
  assert.equal(action.scheme, 'HTTP');
  const headers = Object.fromEntries((action.httpHeaders ?? []).map(({ name, value }) => [name, value]));
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: HOST, port: status.port, path: action.path ?? '/', headers, agent: false },
      (answer) => {
        let body = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
        answer.on('end', () => resolve({ code: answer.statusCode ?? 0, body }));
      },
    );
    outgoing.on('error', reject).end();
  });
}

test('SEC-56 a kubelet that asks the status port gets what the application says, also 500 and silence', async () => {
  const { pod, status } = await startInjected([
    container('fine', get('/fine')),
    container('broken', get('/broken')),
    container('slow', get('/slow')),
    container('moved', get('/moved')),
    container('open', { tcpSocket: { port: 'web' } }),
    container('closed', { tcpSocket: { port: closedPort } }),
    container('serving', { grpc: { port: servingPort } }),
    container('ill', { grpc: { port: notServingPort, service: 's' } }),
  ]);
  await using _status = status;
  const expected: Readonly<Record<string, number>> = {
    fine: 200,
    broken: 500,
    slow: 500,
    moved: 200,
    open: 200,
    closed: 500,
    serving: 200,
    ill: 500,
  };
  for (const { name, readinessProbe } of pod.spec.containers) {
    if (expected[name] === undefined) continue;
    const started = performance.now();
    const { code, body } = await ask(readinessProbe?.httpGet, status);
    assert.equal(code, expected[name], `${name}: ${body}`);
    if (name === 'fine') assert.equal(body, '/fine for me');
    if (name === 'slow') assert.ok(performance.now() - started > 900, 'the probe has its own timeout');
  }
});

test('SEC-56 every kind of probe and handler goes through the agent', async () => {
  const lifecycle = {
    postStart: { httpGet: { path: '/fine', port: httpPort } },
    preStop: { tcpSocket: { port: 'web' } },
  };
  const { pod, status } = await startInjected([
    container('all', get('/fine'), {
      livenessProbe: get('/broken'),
      startupProbe: { tcpSocket: { port: 'web' } },
      lifecycle,
    }),
  ]);
  await using _status = status;
  const all = pod.spec.containers.find(({ name }) => name === 'all');
  const answers = await Promise.all(
    [
      all?.readinessProbe,
      all?.livenessProbe,
      all?.startupProbe,
      all?.lifecycle?.postStart,
      all?.lifecycle?.preStop,
    ].map(async (handler) => (await ask(handler?.httpGet, status)).code),
  );
  assert.deepEqual(answers, [200, 500, 200, 200, 200]);
  assert.equal(all?.lifecycle?.preStop?.tcpSocket, undefined);
  assert.equal(all?.lifecycle?.preStop?.httpGet?.path, '/app-lifecycle/all/prestopz');
});
