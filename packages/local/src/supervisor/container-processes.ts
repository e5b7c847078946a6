import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { type Clock, MeltemiError } from '@meltemi/base';
import { CONTAINER_KEY_VARIABLE, findContainerProcesses } from '../sandbox/process-table.ts';
import { type LogFile, openLogFile } from './log-file.ts';
import type { ProcessState, SpawnRequest } from './protocol.ts';

/** The processes that kubelets had started: children of the supervisor, so that they outlive their kubelet. */
export interface ContainerProcesses {
  /** @throws MeltemiError `PROCESS_EXISTS`, `PROCESS_NOT_STARTED`. */
  spawn(request: SpawnRequest): Promise<ProcessState>;
  list(): readonly ProcessState[];
  /** Does nothing when the process has ended. */
  signal(key: string, signal: NodeJS.Signals): void;
  /** Drops the record of a process that has ended. */
  forget(key: string): void;
  /** Sends SIGTERM to all; resolves when all have ended. */
  terminateAll(): Promise<void>;
}

/** Options of {@link createContainerProcesses}. */
export interface ContainerProcessesOptions {
  readonly clock: Clock;
  readonly onExit: (process: ProcessState) => void;
}

interface Entry {
  state: ProcessState;
  readonly child: ChildProcess;
}

/** How long the output of a process that has ended may be held open by something that escaped the killing. */
const DRAIN_TIMEOUT_MS = 1000;

/** SIGKILL for whatever a container's first process left behind: its process group, and who moved out of it. */
function killAll(key: string, pid: number): void {
  for (const target of [-pid, ...findContainerProcesses(key)]) {
    try {
      process.kill(target, 'SIGKILL');
    } catch {
      // Already gone.
    }
  }
}

/** Creates the table; it begins empty. */
export function createContainerProcesses({ clock, onExit }: ContainerProcessesOptions): ContainerProcesses {
  const entries = new Map<string, Entry>();
  const idle = new Set<() => void>();

  const running = (): readonly Entry[] => [...entries.values()].filter(({ state }) => state.exit === undefined);

  const finish = (entry: Entry, code: number | null, signal: NodeJS.Signals | null): void => {
    if (entry.state.exit !== undefined) return;
    const exitCode = code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
    const exit = { exitCode, ...(signal === null ? {} : { signal }), finishedMs: clock.nowMs() };
    entry.state = { ...entry.state, exit };
    onExit(entry.state);
    if (running().length === 0) for (const done of idle) done();
  };

  const watch = (entry: Entry, log: LogFile): void => {
    const { child, state } = entry;
    child.stdout?.on('data', (chunk: Buffer) => log.write('stdout', chunk));
    child.stderr?.on('data', (chunk: Buffer) => log.write('stderr', chunk));
    child.on('exit', () => {
      killAll(state.key, state.pid);
      const drain = clock.setTimer(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
      }, DRAIN_TIMEOUT_MS);
      child.on('close', drain.cancel);
    });
    child.on('close', (code, signal) => {
      log.close();
      finish(entry, code, signal);
    });
  };

  return {
    spawn(request) {
      const { key, argv, env, logPath } = request;
      if (entries.has(key)) {
        return Promise.reject(new MeltemiError('PROCESS_EXISTS', `Cannot start ${key}: there is one already`));
      }
      const log = openLogFile({ path: logPath, nowMs: () => clock.nowMs() });
      const child = spawn(argv[0] as string, argv.slice(1), {
        cwd: '/',
        env: { ...env, [CONTAINER_KEY_VARIABLE]: key },
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      return new Promise((resolve, reject) => {
        child.once('error', (error) => {
          log.close();
          reject(new MeltemiError('PROCESS_NOT_STARTED', `Cannot start ${key}`, { cause: error }));
        });
        child.once('spawn', () => {
          const entry: Entry = { child, state: { key, pid: child.pid as number, startedMs: clock.nowMs() } };
          entries.set(key, entry);
          watch(entry, log);
          resolve(entry.state);
        });
      });
    },
    list: () => [...entries.values()].map(({ state }) => state),
    signal(key, signal) {
      const entry = entries.get(key);
      if (entry === undefined || entry.state.exit !== undefined) return;
      if (signal === 'SIGKILL') killAll(key, entry.state.pid);
      else entry.child.kill(signal);
    },
    forget(key) {
      if (entries.get(key)?.state.exit !== undefined) entries.delete(key);
    },
    terminateAll() {
      const left = running();
      if (left.length === 0) return Promise.resolve();
      for (const { child } of left) child.kill('SIGTERM');
      return new Promise((resolve) => idle.add(resolve));
    },
  };
}
