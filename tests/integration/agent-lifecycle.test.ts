import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { JsonValue } from '@bufbuild/protobuf';
import { validateBootstrapConfig } from '@grpc/grpc-js-xds/build/src/xds-bootstrap.js';
import { eventually, findPeer, freePort } from '@meltemi/testing';
import { type MeshDouble, startMeshDouble } from './mesh-double.ts';
import { podEnvironment } from './sidecar-fixture.ts';

const MAIN = new URL('../../packages/agent/src/main.ts', import.meta.url).pathname;
const START_MS = 30_000;
const SLOW_MS = 3000;

interface Answer {
  readonly status: number;
  readonly body: string;
  /** Whether the other side ends the connection with this answer. */
  readonly isLast: boolean;
}

/** One request on a connection of its own. */
async function call(port: number, path: string, options: { method?: string; host?: string } = {}): Promise<Answer> {
  const headers = { connection: 'keep-alive' };
  const outgoing = request({ host: '127.0.0.1', port, path, headers, agent: false, ...options });
  outgoing.end();
  const [incoming] = await once(outgoing, 'response');
  let body = '';
  for await (const chunk of incoming) body += String(chunk);
  // It would be counted as active.
  outgoing.destroy();
  return { status: incoming.statusCode, body, isLast: incoming.headers.connection === 'close' };
}

/** An agent as its own process, as in a pod, with an application that answers `/slow` after {@link SLOW_MS}. */
interface Pod extends AsyncDisposable {
  readonly process: ChildProcess;
  readonly statusPort: number;
  readonly adminPort: number;
  readonly inboundPort: number;
  readonly outboundPort: number;
  readonly output: () => string;
  /** Resolves with the exit code and the milliseconds since it was asked for. */
  exit(): Promise<{ readonly code: number | null; readonly afterMs: number }>;
}

function httpListener(port: number, direction: 'INBOUND' | 'OUTBOUND'): JsonValue {
  return {
    name: direction.toLowerCase(),
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    traffic_direction: direction,
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type':
                'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
              stat_prefix: direction.toLowerCase(),
              route_config: {
                virtual_hosts: [
                  {
                    name: 'all',
                    domains: ['*'],
                    routes: [{ match: { prefix: '/' }, route: { cluster: 'application' } }],
                  },
                ],
              },
              http_filters: [
                {
                  name: 'envoy.filters.http.router',
                  typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
                },
              ],
            },
          },
        ],
      },
    ],
  };
}

async function startPod(
  mesh: MeshDouble,
  { binary, env = {} }: { readonly binary: string | undefined; readonly env?: Readonly<Record<string, string>> },
): Promise<Pod> {
  const application = createServer((incoming, response) => {
    if (incoming.url === '/slow') setTimeout(() => response.end('late'), SLOW_MS);
    else response.end('prompt');
  }).listen(0, '127.0.0.1');
  await once(application, 'listening');
  const [statusPort, adminPort, readinessPort = 0, prometheusPort = 0, inboundPort, outboundPort] = await Promise.all(
    Array.from({ length: 6 }, freePort),
  );
  mesh.setClusters([
    {
      name: 'application',
      type: 'STATIC',
      load_assignment: {
        cluster_name: 'application',
        endpoints: [
          {
            lb_endpoints: [
              {
                endpoint: {
                  address: {
                    socket_address: { address: '127.0.0.1', port_value: (application.address() as AddressInfo).port },
                  },
                },
              },
            ],
          },
        ],
      },
    },
  ]);
  mesh.setListeners([httpListener(inboundPort ?? 0, 'INBOUND'), httpListener(outboundPort ?? 0, 'OUTBOUND')]);
  const root = join(mesh.directory, 'root');
  for (const [from, to] of [
    [mesh.rootPath, 'var/run/secrets/istio/root-cert.pem'],
    [mesh.tokenPath, 'var/run/secrets/tokens/istio-token'],
  ] as const) {
    mkdirSync(dirname(join(root, to)), { recursive: true });
    cpSync(from, join(root, to));
  }
  mkdirSync(join(root, 'var/run/secrets/workload-spiffe-uds'), { recursive: true });
  const config = {
    discoveryAddress: mesh.address(),
    proxyAdminPort: adminPort,
    statusPort,
    concurrency: 1,
    ...(binary === undefined ? {} : { binaryPath: binary }),
  };
  const child = spawn(process.execPath, [MAIN, 'proxy', 'sidecar', '--proxyLogLevel=error'], {
    env: {
      PATH: process.env['PATH'],
      NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
      PROXY_CONFIG: JSON.stringify(config),
      MELTEMI_ROOT: root,
      ...podEnvironment({ readinessPort, prometheusPort }),
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
  const exited = once(child, 'exit');
  return {
    process: child,
    statusPort: statusPort ?? 0,
    adminPort: adminPort ?? 0,
    inboundPort: inboundPort ?? 0,
    outboundPort: outboundPort ?? 0,
    output: () => output,
    async exit() {
      const startedMs = performance.now();
      const [code] = await exited;
      return { code, afterMs: performance.now() - startedMs };
    },
    async [Symbol.asyncDispose]() {
      application.close();
      application.closeAllConnections();
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await exited;
    },
  };
}

async function untilReady(pod: Pod): Promise<void> {
  await eventually(async () => {
    const { status, body } = await call(pod.statusPort, '/healthz/ready');
    assert.equal(status, 200, body + pod.output());
    return true;
  }, START_MS);
}

test('without a proxy the agent writes certificates and a bootstrap for gRPC, renews them, and ends when asked', async () => {
  await using mesh = await startMeshDouble();
  const env = { DISABLE_ENVOY: 'true', OUTPUT_CERTS: '/certs', SECRET_TTL: '4s' };
  await using pod = await startPod(mesh, { binary: undefined, env });
  await untilReady(pod);
  const directory = join(mesh.directory, 'root/certs');
  const read = (name: string): string => readFileSync(join(directory, name), 'utf8');
  const chain = await eventually(() => {
    const certificate = new X509Certificate(read('cert-chain.pem'));
    assert.ok(certificate.checkPrivateKey(createPrivateKey(read('key.pem'))));
    assert.equal(certificate.subjectAltName, 'URI:spiffe://cluster.local/ns/app1/sa/sleep');
    return read('cert-chain.pem');
  }, START_MS);
  for (const name of ['key.pem', 'cert-chain.pem', 'root-cert.pem'])
    assert.equal(statSync(join(directory, name)).mode & 0o777, 0o600, name);
  await eventually(() => assert.notEqual(read('cert-chain.pem'), chain), START_MS);

  const path = join(mesh.directory, 'root/etc/istio/proxy/grpc-bootstrap.json');
  const bootstrap = validateBootstrapConfig(JSON.parse(readFileSync(path, 'utf8')));
  assert.equal(bootstrap.xdsServers[0]?.server_uri, `unix://${join(dirname(path), 'XDS')}`);
  assert.equal(bootstrap.certificateProviders['default']?.pluginName, 'file_watcher');
  assert.ok(existsSync(join(dirname(path), 'XDS')));
  await assert.rejects(call(pod.adminPort, '/ready'), /ECONNREFUSED/);
  pod.process.kill('SIGTERM');
  await eventually(async () => assert.equal((await call(pod.statusPort, '/healthz/ready')).status, 503), START_MS);
  assert.equal((await pod.exit()).code, 0, pod.output());
});

/** The one child of an agent that runs Envoy. */
function childOf(pid: number | undefined): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim());
}

const envoy = findPeer('envoy');
const KINDS = [
  { name: 'our proxy', binary: undefined, skip: false },
  {
    name: 'real Envoy',
    binary: envoy,
    skip: envoy === undefined ? 'envoy is missing; run "npm run peers"' : false,
  },
] as const;

for (const { name, binary, skip } of KINDS) {
  test(`SEC-61 SEC-63 with ${name}: a rejection is told, and at the signal open requests end before the sidecar does`, {
    skip,
  }, async () => {
    await using mesh = await startMeshDouble();
    await using pod = await startPod(mesh, { binary });
    // No chain: every proxy refuses it.
    const good = [httpListener(pod.inboundPort, 'INBOUND'), httpListener(pod.outboundPort, 'OUTBOUND')];
    mesh.setListeners([
      { name: 'bad', address: { socket_address: { address: '127.0.0.1', port_value: pod.inboundPort } } },
    ]);
    await eventually(async () => {
      const { status, body } = await call(pod.statusPort, '/healthz/ready');
      assert.equal(status, 503);
      return /was rejected/.test(body);
    }, START_MS);
    assert.match(pod.output(), /The proxy is not ready: configuration from the control plane was rejected/);
    mesh.setListeners(good);
    mesh.push();
    await untilReady(pod);

    const slow = call(pod.inboundPort, '/slow');
    assert.deepEqual(await call(pod.inboundPort, '/'), { status: 200, body: 'prompt', isLast: false });
    pod.process.kill('SIGTERM');
    const exit = pod.exit();
    await eventually(async () => (await call(pod.statusPort, '/healthz/ready')).status === 503, 2000);
    // Callers are told to go elsewhere, in the words of HTTP; the application itself still calls others as before.
    await eventually(async () => (await call(pod.inboundPort, '/')).isLast, 2000);
    assert.deepEqual(await call(pod.outboundPort, '/'), { status: 200, body: 'prompt', isLast: false });
    const { status, body } = await slow;
    assert.deepEqual({ status, body }, { status: 200, body: 'late' });
    const { code, afterMs } = await exit;
    assert.equal(code, 0, pod.output());
    assert.ok(afterMs > 4900 && afterMs < 9000, `ended after ${afterMs} ms`);
  });

  test(`SEC-63 with ${name} and EXIT_ON_ZERO_ACTIVE_CONNECTIONS, the sidecar ends with the last connection, and not before`, {
    skip,
  }, async () => {
    await using mesh = await startMeshDouble();
    const env = { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: 'true', MINIMUM_DRAIN_DURATION: '1s' };
    await using pod = await startPod(mesh, { binary, env });
    await untilReady(pod);
    const startedMs = performance.now();
    const slow = call(pod.inboundPort, '/slow');
    await eventually(async () => {
      const { body } = await call(pod.adminPort, '/stats?usedonly&filter=downstream_cx_active$');
      return new RegExp(`_${pod.inboundPort}\\.downstream_cx_active: [1-9]`).test(body);
    }, 2000);
    pod.process.kill('SIGTERM');
    const exit = pod.exit();
    const { status, body } = await slow;
    assert.deepEqual({ status, body }, { status: 200, body: 'late' });
    assert.equal((await exit).code, 0, pod.output());
    const afterMs = performance.now() - startedMs;
    assert.ok(afterMs > SLOW_MS && afterMs < SLOW_MS + 4000, `ended after ${afterMs} ms`);
  });

  test(`SEC-64 with ${name}: /quitquitquit ends the sidecar within a second, for a POST from the pod itself only`, {
    skip,
  }, async () => {
    await using mesh = await startMeshDouble();
    await using pod = await startPod(mesh, { binary });
    await untilReady(pod);
    const outside = Object.values(networkInterfaces())
      .flat()
      .find((address) => address?.family === 'IPv4' && !address.internal)?.address;
    if (outside !== undefined) {
      const refused = await call(pod.statusPort, '/quitquitquit', { method: 'POST', host: outside });
      assert.equal(refused.status, 403);
    }
    assert.equal((await call(pod.statusPort, '/quitquitquit')).status, 405);
    const exit = pod.exit();
    assert.equal((await call(pod.statusPort, '/quitquitquit', { method: 'POST' })).status, 200);
    const { code, afterMs } = await exit;
    assert.equal(code, 0, pod.output());
    assert.ok(afterMs < 1000, `ended after ${afterMs} ms`);
  });

  test(`with ${name}: /drain keeps serving, and the signal after it ends the sidecar at once`, { skip }, async () => {
    await using mesh = await startMeshDouble();
    const override = join(mesh.directory, 'override.yaml');
    writeFileSync(override, 'node:\n  metadata:\n    HOST: $(HOST_IP)\n');
    const env = { ISTIO_BOOTSTRAP_OVERRIDE: override, HOST_IP: '192.0.2.9' };
    await using pod = await startPod(mesh, { binary, env });
    await untilReady(pod);
    const { body } = await call(pod.adminPort, '/server_info');
    assert.match(body, /"HOST": "192\.0\.2\.9"/, 'the bootstrap has what ISTIO_BOOTSTRAP_OVERRIDE adds');
    assert.match(body, /"NAMESPACE": "app1"/, 'and what it had');
    assert.equal((await call(pod.statusPort, '/drain', { method: 'POST' })).status, 200);
    assert.equal((await call(pod.statusPort, '/healthz/ready')).status, 503);
    assert.equal((await call(pod.inboundPort, '/')).body, 'prompt');
    const exit = pod.exit();
    pod.process.kill('SIGTERM');
    const { code, afterMs } = await exit;
    assert.equal(code, 0, pod.output());
    assert.ok(afterMs < 2000, `ended after ${afterMs} ms`);
  });

  test(`with ${name}: when the proxy ends, the agent ends`, { skip }, async () => {
    await using mesh = await startMeshDouble();
    await using pod = await startPod(mesh, { binary });
    await untilReady(pod);
    const exit = pod.exit();
    if (binary === undefined) await call(pod.adminPort, '/quitquitquit', { method: 'POST' });
    else process.kill(childOf(pod.process.pid), 'SIGKILL');
    const { code } = await exit;
    assert.equal(code, binary === undefined ? 0 : 1, pod.output());
    assert.match(pod.output(), /The proxy ended/);
  });
}
