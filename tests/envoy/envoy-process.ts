import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '@meltemi/testing';

/** A real Envoy, started for one test. */
export interface EnvoyProcess extends AsyncDisposable {
  /** Reads a path of the admin interface, as text. */
  admin(path: string): Promise<string>;
  /** Counters and gauges whose names match, by name. */
  stats(filter: string): Promise<ReadonlyMap<string, number>>;
  /** What Envoy wrote so far. */
  log(): string;
}

const START_MS = 15_000;
const STOP_MS = 5_000;

/**
 * Starts Envoy from a bootstrap.
 *
 * @param bootstrap Its admin interface is added here: loopback, a port of the kernel's choice.
 */
export async function startEnvoy(executable: string, bootstrap: object): Promise<EnvoyProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'meltemi-envoy-'));
  const addressFile = join(folder, 'admin');
  const configFile = join(folder, 'bootstrap.json');
  const admin = { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } };
  await writeFile(configFile, JSON.stringify({ ...bootstrap, admin }));
  const child = spawn(
    executable,
    [
      '-c',
      configFile,
      '--admin-address-path',
      addressFile,
      '--disable-hot-restart',
      // Removed listeners must not outlive the test.
      ...['--drain-time-s', '1', '--drain-strategy', 'immediate'],
      '--concurrency',
      '1',
      '-l',
      'warn',
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const address = await eventually(async () => {
    if (child.exitCode !== null) throw new Error(`Envoy ended with ${child.exitCode}: ${output}`);
    return (await readFile(addressFile, 'utf8').catch(() => '')) || false;
  }, START_MS);
  const read = async (path: string): Promise<string> => (await fetch(`http://${address}${path}`)).text();
  return {
    admin: read,
    log: () => output,
    async stats(filter) {
      const text = await read(`/stats?filter=${encodeURIComponent(filter)}`);
      const lines = text.split('\n').map((line) => /^(.+): (\d+)$/.exec(line));
      return new Map(lines.flatMap((match) => (match === null ? [] : [[match[1] as string, Number(match[2])]])));
    },
    async [Symbol.asyncDispose]() {
      await stop(child);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await exited;
  clearTimeout(timer);
}
