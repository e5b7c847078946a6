/**
 * CPU per proxied request, plaintext HTTP/1.1, one hop, 1 KB body, keep-alive: our data plane with one worker against Envoy with
 * one, the same origin and the same load in the same run.
 *
 *     npm run bench -- proxy-http1 [--seconds 5] [--connections 32]
 *
 * The load comes from `wrk`, the peer is `envoy`; without them the part that needs them is left out. What is compared is user and
 * system time of the proxy's process, because the load generator shares the cores.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '5' }, connections: { type: 'string', default: '32' } },
});
const TICKS_PER_SECOND = 100;
const BODY = 'x'.repeat(1024);
const REQUEST_HEADERS = [
  'user-agent: bench',
  'accept: */*',
  'accept-encoding: gzip',
  'accept-language: en',
  'cookie: session=0123456789',
  'x-custom: value',
];

function has(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
}

/** An origin that costs as little as possible: it answers each read with as many responses as it holds heads. */
async function startOrigin(): Promise<number> {
  const response = `HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`;
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('data', (chunk) => {
      const heads = chunk.toString('latin1').split('\r\n\r\n').length - 1;
      socket.write(response.repeat(heads));
    });
    socket.on('error', () => {});
  });
  server.unref();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** User and system time of a process and its threads so far, milliseconds. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
}

function residentMb(pid: number): number {
  const match = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Math.round(Number(match?.[1] ?? 0) / 1024);
}

interface Load {
  readonly requests: number;
  readonly errors: number;
}

async function runLoad(port: number, seconds: number): Promise<Load> {
  const headers = REQUEST_HEADERS.flatMap((header) => ['-H', header]);
  const child = spawn('wrk', [
    ...['-t1', `-c${values.connections}`, `-d${seconds}s`],
    ...headers,
    `http://127.0.0.1:${port}/hello?x=1`,
  ]);
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += String(chunk);
  });
  await once(child, 'exit');
  const errors = /Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? /Socket errors:.*/.exec(text)?.[0] ?? '0';
  return {
    requests: Number(/(\d+) requests in/.exec(text)?.[1] ?? 0),
    errors: Number.isNaN(Number(errors)) ? -1 : Number(errors),
  };
}

async function waitForPort(port: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const answer = await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined);
    if (answer?.ok === true) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nothing answers on port ${port}`);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function bootstrap(port: number, origin: number): string {
  const router = {
    name: 'envoy.filters.http.router',
    typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
  };
  const manager = {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: 'bench',
    http_filters: [router],
    route_config: {
      name: 'bench',
      virtual_hosts: [
        { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'origin' } }] },
      ],
    },
  };
  const address = (portValue: number) => ({ socket_address: { address: '127.0.0.1', port_value: portValue } });
  return JSON.stringify({
    node: { id: 'bench', cluster: 'bench' },
    static_resources: {
      listeners: [
        {
          name: 'bench',
          address: address(port),
          filter_chains: [
            { filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }] },
          ],
        },
      ],
      clusters: [
        {
          name: 'origin',
          type: 'STATIC',
          connect_timeout: '1s',
          load_assignment: {
            cluster_name: 'origin',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: address(origin) } }] }],
          },
        },
      ],
    },
  });
}

async function measure(name: string, start: (config: string) => ChildProcess): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'proxy-bench-'));
  const port = await freePort();
  const config = join(directory, 'bootstrap.json');
  writeFileSync(config, bootstrap(port, origin));
  const child = start(config);
  try {
    await waitForPort(port);
    await runLoad(port, 2);
    const before = cpuMs(child.pid ?? 0);
    const { requests, errors } = await runLoad(port, Number(values.seconds));
    const perRequestUs = ((cpuMs(child.pid ?? 0) - before) * 1000) / requests;
    const rate = Math.round(requests / Number(values.seconds));
    console.log(
      `${name.padEnd(8)} ${perRequestUs.toFixed(1)} µs CPU per request, ${rate} requests/s, ${residentMb(child.pid ?? 0)} MB, errors ${errors}`,
    );
    return perRequestUs;
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
    rmSync(directory, { recursive: true, force: true });
  }
}

if (!has('wrk')) {
  console.log('Skipped: needs the program wrk on the PATH (apt-get install wrk)');
  process.exit(0);
}
const origin = await startOrigin();
const main = join(import.meta.dirname, '../../packages/proxy/src/main.ts');
const ours = await measure('meltemi', (config) =>
  spawn(process.execPath, [main, '-c', config, '--concurrency', '1'], { stdio: 'ignore' }),
);
if (has('envoy')) {
  const envoy = await measure('envoy', (config) =>
    spawn('envoy', ['-c', config, '--concurrency', '1', '--disable-hot-restart'], { stdio: 'ignore' }),
  );
  console.log(`ratio    ${(ours / envoy).toFixed(2)}`);
} else {
  console.log('envoy is not on the PATH: no ratio (npm run peers fetches it)');
}
process.exit(0);
