import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLog, systemClock } from '@meltemi/base';
import { eventually } from '@meltemi/kube/testing';
import { createSupervisorClient } from './client.ts';
import { createContainerProcesses } from './container-processes.ts';
import { createProcessServer } from './process-server.ts';
import type { ProcessState } from './protocol.ts';

test('Processes outlive the connection that started them, and a later one is told how they ended', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-processes-'));
  const socketPath = join(directory, 's');
  const logPath = join(directory, 'a.log');
  const processes = createContainerProcesses({ clock: systemClock, onExit: (process) => server.announceExit(process) });
  const server = createProcessServer({ socketPath, processes, log: silentLog, onReady: () => {} });
  const exits: ProcessState[] = [];
  const connect = async (node: string) => {
    const client = createSupervisorClient({
      socketPath,
      node,
      onExit: (process) => exits.push(process),
      onLost: () => assert.fail('the connection was lost'),
    });
    return { client, present: await client.connect() };
  };
  const env = { PATH: process.env['PATH'] ?? '' };
  const script = 'trap "echo ended; exit 5" TERM; echo started; echo oops >&2; while :; do sleep 0.01; done';
  try {
    await server.start();
    const first = await connect('n1');
    assert.deepEqual(first.present, []);
    const request = { key: 'n1.a', argv: ['sh', '-c', script], env, logPath };
    const { pid } = await first.client.spawn(request);
    await assert.rejects(first.client.spawn(request), { code: 'SUPERVISOR_CALL' });
    await eventually(() => readFileSync(logPath, 'utf8').includes('oops'));
    await first.client[Symbol.asyncDispose]();

    const other = await connect('n2');
    const second = await connect('n1');
    assert.deepEqual([other.present, second.present.map((state) => state.pid)], [[], [pid]]);
    await second.client.signal('n1.a', 'SIGTERM');
    await eventually(() => exits.length > 0);
    assert.deepEqual(
      exits.map(({ key, exit }) => [key, exit?.exitCode]),
      [['n1.a', 5]],
    );
    assert.match(readFileSync(logPath, 'utf8'), /^\S+ stdout F started\n\S+ stderr F oops\n\S+ stdout F ended\n$/);
    await second.client.forget('n1.a');
    assert.deepEqual(processes.list(), []);
    await Promise.all([other.client[Symbol.asyncDispose](), second.client[Symbol.asyncDispose]()]);
  } finally {
    await processes.terminateAll();
    await server[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  }
});

test('A program that cannot be started is an error of the call, not of the supervisor', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-processes-'));
  const processes = createContainerProcesses({ clock: systemClock, onExit: () => {} });
  try {
    const request = { key: 'n.x', argv: ['/no/such/program'], env: {}, logPath: join(directory, 'x.log') };
    await assert.rejects(processes.spawn(request), { code: 'PROCESS_NOT_STARTED' });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
