import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, renameSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Clock, type ClockTimer, formatDurationMs, type Log } from '@meltemi/base';

/** One system process of a cluster, started again whenever it ends. */
export interface Component {
  start(): void;
  /** Sends SIGTERM and starts it no more; resolves when it has ended. */
  stop(): Promise<void>;
}

/** Options of {@link createComponent}. */
export interface ComponentOptions {
  /** `cluster1-kubelet`: its name in messages and of its log. */
  readonly name: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly logPath: string;
  /** An open descriptor of ours that the process gets as its descriptor 3. */
  readonly inheritedFd?: number | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 30_000;
/** Who has run for this long has started well, and is not punished for earlier failures. */
const SETTLED_MS = 30_000;
const MAX_LOG_BYTES = 10 * 1024 * 1024;

function openComponentLog(path: string): number {
  mkdirSync(dirname(path), { recursive: true });
  const sizeBytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (sizeBytes > MAX_LOG_BYTES) renameSync(path, `${path}.1`);
  return openSync(path, 'a', 0o640);
}

/** Creates a component; it runs from `start` to `stop`. */
export function createComponent(options: ComponentOptions): Component {
  const { name, argv, env, logPath, inheritedFd, clock, log } = options;
  let child: ChildProcess | undefined;
  let restart: ClockTimer | undefined;
  let stopped = false;
  let failures = 0;
  let onStopped = (): void => {};

  const run = (): void => {
    const logFd = openComponentLog(logPath);
    const startedMs = clock.monotonicMs();
    const inherited = inheritedFd === undefined ? [] : [inheritedFd];
    child = spawn(argv[0] as string, argv.slice(1), { env, stdio: ['ignore', logFd, logFd, ...inherited] });
    closeSync(logFd);
    let ended = false;
    const onEnd = (reason: string): void => {
      if (ended) return;
      ended = true;
      child = undefined;
      if (stopped) onStopped();
      else scheduleRestart(reason, clock.monotonicMs() - startedMs);
    };
    child.on('error', (error) => onEnd(error.message));
    child.on('exit', (code, signal) => onEnd(signal ?? `exit code ${code}`));
  };

  const scheduleRestart = (reason: string, ranMs: number): void => {
    if (ranMs >= SETTLED_MS) failures = 0;
    const delayMs = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** failures);
    failures += 1;
    log.warn(`${name} ended, and is started again in ${formatDurationMs(delayMs)}`, { reason, log: logPath });
    restart = clock.setTimer(run, delayMs);
  };

  return {
    start: run,
    stop() {
      stopped = true;
      restart?.cancel();
      const running = child;
      if (running === undefined) return Promise.resolve();
      return new Promise((resolve) => {
        onStopped = resolve;
        running.kill('SIGTERM');
      });
    },
  };
}
