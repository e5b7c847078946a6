/**
 * Runs in a pod's network namespace (see `agent-address-families.test.ts`), with that of its node at /run/netns/node: a small
 * control plane and an agent with its proxy. Prints what the node's kubelet and the pod itself reach.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { startMeshDouble } from './mesh-double.ts';

/** What `agent-address-families.test.ts` hands in. */
interface Scene {
  /** The pod's addresses, the primary one first. */
  readonly podIps: readonly string[];
  readonly binary: string | undefined;
}

// The test wrote it as one argument.
const { podIps, binary } = JSON.parse(process.argv[2] ?? '{}') as Scene;
const AGENT = new URL('../../packages/agent/src/main.ts', import.meta.url).pathname;
const ON_NODE = ['--net=/run/netns/node', '--'];
const PAGES = { 15020: '/healthz/ready', 15021: '/healthz/ready', 15090: '/stats/prometheus' };

const LISTENER = {
  name: 'any',
  address: { socket_address: { address: '127.0.0.1', port_value: 15_006 } },
  filter_chains: [
    {
      filters: [
        {
          name: 'envoy.filters.network.http_connection_manager',
          typed_config: {
            '@type':
              'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
            stat_prefix: 'any',
            route_config: { virtual_hosts: [] },
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

/** Not synchronous: the control plane is in this process. */
async function run(program: string, args: readonly string[], env = process.env): Promise<string> {
  return (await promisify(execFile)(program, args, { env })).stdout;
}

/** Status and body of a GET as the node sends it. */
function getFromNode(address: string, port: number, path: string): Promise<string> {
  const host = address.includes(':') ? `[${address}]` : address;
  const code = `fetch('http://${host}:${port}${path}', { signal: AbortSignal.timeout(3000) })
    .then(async (r) => process.stdout.write(r.status + ' ' + await r.text()), (e) => process.stdout.write(String(e.cause?.code ?? e)))`;
  return run('nsenter', [...ON_NODE, process.execPath, '-e', code]);
}

async function listening(): Promise<readonly string[]> {
  const lines = (await run('ss', ['-Hltn'])).trim().split('\n');
  const local = lines.map((line) => line.trim().split(/\s+/)[3] ?? '');
  return [...new Set(local.filter((socket) => /:(15000|15020|15021|15053|15090)$/.test(socket)))].sort();
}

function write(root: string, path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

async function main(children: ChildProcess[]): Promise<void> {
  await using mesh = await startMeshDouble();
  mesh.setListeners([LISTENER]);
  mesh.setNames({ 'a.test': ['10.0.0.1'] });
  const root = join(mesh.directory, 'pod');
  write(root, 'var/run/secrets/tokens/istio-token', 'token-1');
  write(root, 'var/run/secrets/istio/root-cert.pem', mesh.root.certificatePem);
  write(root, 'etc/resolv.conf', `nameserver ${podIps[0]}\n`);
  const env = {
    ...process.env,
    MELTEMI_ROOT: root,
    POD_NAME: 'sleep-1',
    POD_NAMESPACE: 'app1',
    SERVICE_ACCOUNT: 'sleep',
    INSTANCE_IP: podIps[0],
    ISTIO_META_CLUSTER_ID: 'cluster1',
    ISTIO_META_DNS_CAPTURE: 'true',
    PROXY_CONFIG: JSON.stringify({
      discoveryAddress: mesh.address(),
      concurrency: 1,
      terminationDrainDuration: '0.01s',
    }),
    ...(binary === undefined ? {} : { MELTEMI_PROXY_BINARY: binary }),
  };
  const args = [AGENT, 'proxy', 'sidecar', '--proxyLogLevel', 'error'];
  children.push(spawn(process.execPath, args, { env, stdio: ['ignore', 'ignore', 'inherit'] }));
  const command = (...words: readonly string[]): Promise<string> => run(process.execPath, [AGENT, ...words], env);
  await command('wait', '--timeoutSeconds', '20', '--periodMillis', '50');
  const info = JSON.parse(await command('request', 'GET', '/server_info')) as {
    readonly state: string;
    readonly command_line_options: Readonly<Record<string, string>>;
  };
  const node: Record<string, readonly string[]> = {};
  for (const address of podIps) {
    const answers = Object.entries(PAGES).map(([port, path]) => getFromNode(address, Number(port), path));
    node[address] = (await Promise.all(answers)).map((answer) => answer.slice(0, 3));
  }
  const merged = await getFromNode(podIps[0] ?? '', 15_020, '/stats/prometheus');
  const observed = {
    node,
    listening: await listening(),
    admin: info.state,
    mergedProxyMetrics: /envoy_server_live/.test(merged) && /scrape_failures_total\{type="envoy"\} 0/.test(merged),
    ipVersion: info.command_line_options['local_address_ip_version'],
  };
  process.stdout.write(JSON.stringify(observed));
}

const children: ChildProcess[] = [];
try {
  await main(children);
} finally {
  for (const child of children) {
    // Not by force: Envoy is its child, and would stay.
    child.kill('SIGTERM');
    if (child.exitCode === null) await once(child, 'exit');
  }
}
