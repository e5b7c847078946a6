import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent, request as httpsRequest } from 'node:https';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createTestPki } from './testing/test-pki.ts';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));

/** Starts the process; resolves with its first port once it is ready. */
async function start(
  args: readonly string[],
  inheritedFd?: number,
): Promise<{ readonly child: ChildProcess; readonly port: number }> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    stdio: ['ignore', 'ignore', 'inherit', inheritedFd ?? 'ignore', 'ipc'],
  });
  const port = await new Promise<number>((resolve, reject) => {
    child.once('message', (message: { readonly ports: readonly number[] }) => resolve(message.ports[0] as number));
    child.once('exit', (code) => reject(new Error(`exit ${code}`)));
  });
  return { child, port };
}

function exited(child: ChildProcess): Promise<number | null> {
  return child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve(child.exitCode)
    : new Promise((resolve) => void child.once('exit', resolve));
}

test('a killed API server has every acknowledged write when it starts again, and takes a socket that was handed in', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-api-main-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const pki = createTestPki(join(directory, 'pki'));
  const admin = pki.issueClient('admin', '/O=system:masters/CN=admin');
  const agent = new Agent({
    ca: readFileSync(join(pki.directory, 'ca.crt')),
    cert: readFileSync(admin.certificatePath),
    key: readFileSync(admin.keyPath),
    keepAlive: true,
    maxSockets: 8,
  });
  t.after(() => agent.destroy());
  const send = (
    port: number,
    method: string,
    path: string,
    body?: object,
  ): Promise<{ readonly code: number; readonly text: string }> =>
    new Promise((resolve, reject) => {
      const outgoing = httpsRequest({ host: '127.0.0.1', port, path, method, agent }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => void (text += chunk));
        answer.on('end', () => resolve({ code: answer.statusCode ?? 0, text }));
        answer.on('error', reject);
      });
      outgoing.on('error', reject);
      outgoing.end(body === undefined ? undefined : JSON.stringify(body));
    });
  const args = ['--cluster', 'c', '--data', directory, '--pki', pki.directory, '--log-level', 'error'];
  const path = '/api/v1/namespaces/default/configmaps';

  const first = await start([...args, '--listen', '127.0.0.1:0']);
  const acknowledged: string[] = [];
  let isKilled = false;
  const writers = Array.from({ length: 8 }, async (_, writer) => {
    for (let index = 0; !isKilled; index++) {
      const name = `w${writer}-${index}`;
      const answer = await send(first.port, 'POST', path, { metadata: { name } }).catch(() => undefined);
      if (answer?.code === 201) acknowledged.push(name);
      // Killed in the midst of writes: some are under way, some were just answered.
      if (acknowledged.length >= 200 && !isKilled) {
        isKilled = true;
        first.child.kill('SIGKILL');
      }
    }
  });
  await Promise.all(writers);
  await exited(first.child);

  const listener = createServer();
  await new Promise<void>((resolve) => void listener.listen(0, '127.0.0.1', resolve));
  const { port } = listener.address() as AddressInfo;
  // The descriptor has no public name; a parent that hands sockets to children needs it all the same.
  const { fd } = (listener as unknown as { readonly _handle: { readonly fd: number } })._handle;
  const second = await start([...args, '--listen-fd', '3'], fd);
  listener.close();
  const { items } = JSON.parse((await send(port, 'GET', path)).text) as {
    readonly items: readonly { readonly metadata: { readonly name: string } }[];
  };
  const kept = new Set(items.map(({ metadata }) => metadata.name));
  assert.deepEqual(
    acknowledged.filter((name) => !kept.has(name)),
    [],
  );
  second.child.kill('SIGTERM');
  assert.equal(await exited(second.child), 0);
});

test('wrong settings end the process at once, with the reason', async () => {
  const table: [string[], number, RegExp][] = [
    [['--data', '/x', '--pki', '/x'], 64, /Missing flag --listen or --listen-fd/],
    [['--dta', '/x'], 64, /did you mean --data\?/],
    [
      ['--data', '/x', '--pki', '/x', '--listen', '127.0.0.1:0', '--service-cidr', '10.111.0.1/16'],
      1,
      /did you mean 10\.111\.0\.0\/16\?/,
    ],
    [
      ['--data', '/x', '--pki', '/x', '--listen', '127.0.0.1:0', '--pod-cidr', '10.111.128.0/17'],
      1,
      /10\.111\.0\.0\/16 and the pod range 10\.111\.128\.0\/17 overlap/,
    ],
  ];
  for (const [args, code, message] of table) {
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    let text = '';
    child.stderr.on('data', (chunk: Buffer) => void (text += chunk.toString()));
    assert.equal(await exited(child), code, text);
    assert.match(text, message);
  }
});
