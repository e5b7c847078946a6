import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import type { JsonValue } from '@bufbuild/protobuf';
import { eventually, freePort } from '@meltemi/testing';
import { startMeshDouble } from './mesh-double.ts';
import { KINDS, mtlsListener, START_MS, startSidecar, statusOf } from './sidecar-fixture.ts';

const MAIN = new URL('../../packages/agent/src/main.ts', import.meta.url).pathname;
const MANAGER = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const ROUTER = 'envoy.extensions.filters.http.router.v3.Router';

/** A plaintext listener with one route for everything. */
function httpListener(port: number, action: Record<string, JsonValue>): Record<string, JsonValue> {
  const manager = {
    '@type': `type.googleapis.com/${MANAGER}`,
    stat_prefix: 'plain',
    route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, ...action }] }] },
    http_filters: [{ name: 'envoy.filters.http.router', typed_config: { '@type': `type.googleapis.com/${ROUTER}` } }],
  };
  return {
    name: 'plain',
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [{ filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }] }],
  };
}

function endpointAt(port: number): JsonValue {
  const address = { socket_address: { address: '127.0.0.1', port_value: port } };
  return { cluster_name: 'failing', endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] };
}

interface EjectionLine {
  readonly type: string;
  readonly timestamp: string;
  readonly secs_since_last_action?: string;
}

function readEjections(path: string): readonly EjectionLine[] {
  const lines = readFileSync(path, 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line) as EjectionLine);
}

for (const { name, binary, skip } of KINDS) {
  test(`with ${name}, --outlierLogPath names the file that ejections of hosts and their returns are written to`, {
    skip,
  }, async () => {
    await using mesh = await startMeshDouble();
    const failing = createServer((_request, response) => response.writeHead(500).end()).listen(0, '127.0.0.1');
    await once(failing, 'listening');
    try {
      const { port: hostPort } = failing.address() as AddressInfo;
      const port = await freePort();
      mesh.setClusters([
        {
          name: 'failing',
          type: 'STATIC',
          load_assignment: endpointAt(hostPort),
          common_lb_config: { healthy_panic_threshold: { value: 0 } },
          outlier_detection: {
            consecutive_5xx: 2,
            consecutive_gateway_failure: 0,
            interval: '0.1s',
            base_ejection_time: '0.2s',
            max_ejection_percent: 100,
          },
        },
      ]);
      mesh.setListeners([httpListener(port, { route: { cluster: 'failing' } })]);
      const outlierLogPath = join(mesh.directory, 'outliers.log');
      await using sidecar = await startSidecar(mesh, { binary, flags: { outlierLogPath } });
      await eventually(async () => (await statusOf(sidecar.readinessPort)) === 200, START_MS);
      for (let call = 0; call < 2; call += 1) assert.equal(await statusOf(port), 500);
      const [ejected, returned] = await eventually(() => {
        const lines = readEjections(outlierLogPath);
        assert.equal(lines.length, 2);
        return lines;
      }, START_MS);
      const common = {
        type: 'CONSECUTIVE_5XX',
        cluster_name: 'failing',
        upstream_url: `127.0.0.1:${hostPort}`,
        num_ejections: 1,
      };
      const { timestamp, ...ejection } = ejected ?? assert.fail('nothing was ejected');
      assert.ok(Math.abs(Date.parse(timestamp) - Date.now()) < 60_000);
      assert.deepEqual(ejection, { ...common, action: 'EJECT', enforced: true, eject_consecutive_event: {} });
      const { timestamp: _at, secs_since_last_action: seconds, ...rest } = returned ?? assert.fail('nothing came back');
      assert.deepEqual(rest, { ...common, action: 'UNEJECT', enforced: false });
      assert.match(seconds ?? '', /^\d+$/);
    } finally {
      failing.close();
      failing.closeAllConnections();
    }
  });

  test(`with ${name}, customConfigFile is the bootstrap, as it is`, { skip }, async () => {
    await using mesh = await startMeshDouble();
    const [port, adminPort] = [await freePort(), await freePort()];
    const customConfigFile = join(mesh.directory, 'custom.json');
    const bootstrap = {
      node: { id: 'own', cluster: 'own' },
      admin: { address: { socket_address: { address: '127.0.0.1', port_value: adminPort } } },
      static_resources: {
        listeners: [httpListener(port, { direct_response: { status: 418 } })],
      },
    };
    writeFileSync(customConfigFile, JSON.stringify(bootstrap));
    await using _sidecar = await startSidecar(mesh, { binary, config: { customConfigFile } });
    await eventually(async () => (await statusOf(port)) === 418, START_MS);
    assert.equal(await statusOf(adminPort, '/ready'), 200);
  });

  test(`with ${name}, --log_as_json makes every line of agent and proxy a JSON object`, { skip }, async () => {
    await using mesh = await startMeshDouble();
    mesh.setListeners([mtlsListener(await freePort())]);
    const [adminPort, statusPort] = [await freePort(), await freePort()];
    const config = { discoveryAddress: mesh.address(), proxyAdminPort: adminPort, statusPort, concurrency: 1 };
    const args = [MAIN, 'proxy', 'sidecar', '--log_as_json', '--proxyLogLevel=info', '--log_output_level=default:info'];
    const child = spawn(process.execPath, args, {
      env: {
        PATH: process.env['PATH'],
        MELTEMI_ROOT: mesh.directory,
        INSTANCE_IP: '127.0.0.1',
        ENVOY_STATUS_PORT: String(await freePort()),
        ENVOY_PROMETHEUS_PORT: String(await freePort()),
        PROXY_CONFIG: JSON.stringify(binary === undefined ? config : { ...config, binaryPath: binary }),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
    try {
      const scopes = await eventually(() => {
        const lines = output.split('\n').slice(0, -1);
        const found = new Set(lines.map((line) => (JSON.parse(line) as { readonly scope: string }).scope));
        // Envoy's own lines, or those of our proxy, beside the agent's.
        assert.ok([...found].some((scope) => scope.startsWith('envoy ') || scope === 'proxy'));
        assert.ok(found.has('ca'));
        return found;
      }, START_MS);
      assert.ok(scopes.size > 1);
    } finally {
      child.kill('SIGTERM');
      if (child.exitCode === null) await once(child, 'exit');
    }
  });
}
