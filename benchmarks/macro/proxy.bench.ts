/**
 * CPU per request of one hop, HTTP/1.1 keep-alive, 1 KB: our proxy, Envoy on the very configuration that pilot makes for a pod, and
 * nginx; plaintext and mutual TLS on both legs, one worker each.
 *
 *     npm run bench -- proxy [--seconds 4] [--rounds 5] [--connections 32] [--only meltemi] [--node-option --cpu-prof]…
 *
 * What is compared is user and system time of the proxy's processes, because load and origin share the machine's cores. Rounds
 * alternate between the proxies. A row in which the load saw an error is void.
 */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { parseArgs, promisify } from 'node:util';
import { createAuthorityFixture } from '../../packages/proxy/src/testing/authority-fixture.ts';
import { PEERS, peerPath } from '../../packages/testing/src/peers.ts';
import type { LoadOptions, LoadResult } from '../proxy/http-load.ts';
import { buildPilotBootstrap, CALLED, CALLER, HOST } from '../proxy/pilot-bootstrap.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '32' },
    only: { type: 'string' },
    'node-option': { type: 'string', multiple: true, default: [] },
  },
});
const BODY = 'x'.repeat(1024);
const MAIN = join(import.meta.dirname, '../../packages/proxy/src/main.ts');
const LOAD = join(import.meta.dirname, '../proxy/http-load.ts');
const TICK_US = 10_000;
const START_MS = 15_000;
const run = promisify(execFile);

interface Contender {
  readonly name: string;
  readonly port: number;
  readonly child: ChildProcess;
}

interface Sample {
  readonly cpuUs: number;
  readonly rate: number;
  readonly errors: number;
}

/** An origin that costs little: it answers each read with as many responses as it holds heads. */
function answer(socket: Socket): void {
  const response = `HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`;
  socket.on('data', (chunk) => socket.write(response.repeat(chunk.toString('latin1').split('\r\n\r\n').length - 1)));
  socket.on('error', () => {});
}

async function listen(server: Server): Promise<number> {
  server.unref();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function freePort(): Promise<number> {
  const server = createTcpServer();
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A process and all of its children. */
function family(pid: number): readonly number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .trim()
    .split(' ')
    .filter(Boolean)
    .map(Number);
  return [pid, ...children.flatMap(family)];
}

/** User and system time so far. */
function cpuUs({ child }: Contender): number {
  return family(child.pid ?? 0).reduce((sum, pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return sum + (Number(fields[11]) + Number(fields[12])) * TICK_US;
  }, 0);
}

function residentMb({ child }: Contender): number {
  return family(child.pid ?? 0).reduce((sum, pid) => {
    const kilobytes = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
    return sum + Math.round(kilobytes / 1024);
  }, 0);
}

function envoyPath(): string | undefined {
  const pinned = PEERS.filter(({ name }) => name === 'envoy').map(peerPath);
  return [...pinned, 'envoy'].find((path) => spawnSync(path, ['--version']).status === 0);
}

function nginxConfig(port: number, originPort: number, folder: string, isMutualTls: boolean): string {
  const file = (name: string): string => join(folder, name);
  const server = isMutualTls
    ? `listen 127.0.0.1:${port} ssl; ssl_certificate ${file('proxy.crt')}; ssl_certificate_key ${file('proxy.key')};
       ssl_client_certificate ${file('ca.crt')}; ssl_verify_client on;`
    : `listen 127.0.0.1:${port};`;
  const upstream = isMutualTls
    ? `proxy_pass https://origin; proxy_ssl_certificate ${file('proxy.crt')};
       proxy_ssl_certificate_key ${file('proxy.key')}; proxy_ssl_trusted_certificate ${file('ca.crt')};`
    : 'proxy_pass http://origin;';
  return `daemon off; worker_processes 1; error_log ${file('error.log')}; pid ${file('nginx.pid')};
    events { worker_connections 1024; }
    http {
      access_log off; keepalive_requests 100000000; client_body_temp_path ${file('body')};
      proxy_temp_path ${file('proxy')}; fastcgi_temp_path ${file('f')}; uwsgi_temp_path ${file('u')}; scgi_temp_path ${file('s')};
      upstream origin { server 127.0.0.1:${originPort}; keepalive 64; keepalive_requests 100000000; }
      server { ${server} location / { ${upstream} proxy_http_version 1.1; proxy_set_header Connection ''; } }
    }`;
}

async function measureRow(isMutualTls: boolean): Promise<void> {
  using authority = createAuthorityFixture('bench');
  const [client, proxy, called] = [[CALLER], [CALLER], [CALLED]].map(([name]) => authority.issue([`URI:${name}`]));
  if (client === undefined || proxy === undefined || called === undefined) throw new Error('BUG: three were issued');
  const folder = mkdtempSync(join(tmpdir(), 'meltemi-bench-'));
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  write('proxy.crt', proxy.certificate);
  write('proxy.key', proxy.key);
  write('ca.crt', authority.certificate);
  const originPort = await listen(
    isMutualTls
      ? createTlsServer(
          {
            cert: called.certificate,
            key: called.key,
            ca: authority.certificate,
            requestCert: true,
            ALPNProtocols: ['istio', 'http/1.1'],
          },
          answer,
        )
      : createTcpServer({ noDelay: true }, answer),
  );
  const contenders: Contender[] = [];
  const start = async (name: string, launch: (port: number, config: string) => ChildProcess): Promise<void> => {
    if (values.only !== undefined && values.only !== name) return;
    const port = await freePort();
    const hop = { listenPort: port, originPort, isMutualTls, certificate: proxy, authority: authority.certificate };
    const config =
      name === 'nginx'
        ? write('nginx.conf', nginxConfig(port, originPort, folder, isMutualTls))
        : write(`${name}.json`, JSON.stringify(buildPilotBootstrap(hop)));
    contenders.push({ name, port, child: launch(port, config) });
  };
  const load = async ({ port }: Contender, seconds: number): Promise<LoadResult> => {
    const options: LoadOptions = {
      port,
      host: HOST,
      connections: Number(values.connections),
      seconds,
      bodyBytes: BODY.length,
      ...(isMutualTls
        ? { tls: { certificate: client.certificate, key: client.key, authority: authority.certificate } }
        : {}),
    };
    return JSON.parse((await run(process.execPath, [LOAD, JSON.stringify(options)])).stdout) as LoadResult;
  };
  const untilReady = async (contender: Contender): Promise<void> => {
    const deadlineMs = Date.now() + START_MS;
    while (Date.now() < deadlineMs) {
      if ((await load(contender, 0.1)).errors === 0) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`${contender.name} does not answer`);
  };
  try {
    await start('meltemi', (_port, config) =>
      spawn(process.execPath, [...values['node-option'], MAIN, '-c', config, '--concurrency', '1'], {
        stdio: ['ignore', 'ignore', 'inherit'],
      }),
    );
    const envoy = envoyPath();
    if (envoy === undefined) console.log('envoy is missing: npm run peers fetches it');
    else {
      await start('envoy', (_port, config) =>
        spawn(envoy, ['-c', config, '--concurrency', '1', '--disable-hot-restart', '-l', 'error'], {
          stdio: 'inherit',
        }),
      );
    }
    if (spawnSync('nginx', ['-v']).status === 0) {
      await start('nginx', (_port, config) => spawn('nginx', ['-c', config, '-p', folder], { stdio: 'inherit' }));
    }
    const samples = new Map<string, Sample[]>();
    for (const contender of contenders) {
      await untilReady(contender);
      await load(contender, 3);
      samples.set(contender.name, []);
    }
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const contender of contenders) {
        const before = cpuUs(contender);
        const startMs = performance.now();
        const { requests, errors } = await load(contender, Number(values.seconds));
        const elapsedS = (performance.now() - startMs) / 1000;
        const spent = (cpuUs(contender) - before) / requests;
        samples.get(contender.name)?.push({ cpuUs: spent, rate: requests / elapsedS, errors });
      }
    }
    const medians = new Map<string, number>();
    for (const contender of contenders) {
      const found = samples.get(contender.name) ?? [];
      const sorted = found.map((sample) => sample.cpuUs).sort((left, right) => left - right);
      const median = sorted[sorted.length >> 1] ?? Number.NaN;
      medians.set(contender.name, median);
      const errors = found.reduce((sum, sample) => sum + sample.errors, 0);
      const rate = Math.round(found.reduce((sum, sample) => sum + sample.rate, 0) / found.length);
      const numbers = `${median.toFixed(1)} µs (${sorted[0]?.toFixed(1)}–${sorted.at(-1)?.toFixed(1)}) CPU per request, ${rate} requests/s, ${residentMb(contender)} MB`;
      console.log(
        `${isMutualTls ? 'mTLS' : 'plaintext'} ${contender.name.padEnd(8)} ${errors > 0 ? `void: ${errors} errors` : numbers}`,
      );
    }
    const [ours, theirs] = [medians.get('meltemi'), medians.get('envoy')];
    if (ours !== undefined && theirs !== undefined)
      console.log(`${isMutualTls ? 'mTLS' : 'plaintext'} ratio    ${(ours / theirs).toFixed(2)} of Envoy`);
  } finally {
    for (const { child } of contenders) {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
    }
    rmSync(folder, { recursive: true, force: true });
  }
}

console.log(`${cpus()[0]?.model}, ${cpus().length} cores, Node ${process.version}`);
await measureRow(false);
await measureRow(true);
process.exit(0);
