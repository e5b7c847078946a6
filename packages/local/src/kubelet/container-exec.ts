import { spawn } from 'node:child_process';
import type { Clock } from '@meltemi/base';
import { CONTAINER_KEY_VARIABLE } from '../sandbox/process-table.ts';
import type { PodSandbox } from '../sandbox/sandbox.ts';
import type { ContainerRun } from './pod-records.ts';

/** How a command inside a container ended. */
export interface ExecResult {
  /** `undefined` when it could not be started, or was killed for taking too long. */
  readonly exitCode: number | undefined;
  /** Standard output and error together, cut to 10 KiB; or why there is none. */
  readonly output: string;
}

/** Runs a command inside a running container, to its end. */
export type ContainerExec = (
  run: ContainerRun,
  argv: readonly string[],
  options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
) => Promise<ExecResult>;

const MAX_OUTPUT_BYTES = 10 * 1024;

/** The environment of a command run beside a container: the container's own, and the mark by which it is found. */
export function execEnv(run: ContainerRun, systemPath: string): Record<string, string> {
  return { ...run.env, PATH: systemPath, [CONTAINER_KEY_VARIABLE]: run.key };
}

/** The sandbox's command line for a command beside a container; `undefined` when the container is gone. */
export function enterContainer(
  sandbox: PodSandbox,
  run: ContainerRun,
  argv: readonly string[],
): readonly string[] | undefined {
  const { pid, env, workingDir, identity } = run;
  return sandbox.execCommand({ pid, argv, path: env['PATH'] ?? '', workingDir, identity });
}

/** @param systemPath `PATH` in which the sandbox's own programs are found. */
export function createContainerExec({
  sandbox,
  clock,
  systemPath,
}: {
  readonly sandbox: PodSandbox;
  readonly clock: Clock;
  readonly systemPath: string;
}): ContainerExec {
  return (run, argv, { timeoutMs, signal }) => {
    const command = enterContainer(sandbox, run, argv);
    if (command === undefined) return Promise.resolve({ exitCode: undefined, output: 'the container is not running' });
    return new Promise((resolve) => {
      const child = spawn(command[0] as string, command.slice(1), {
        env: execEnv(run, systemPath),
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let output = '';
      let timedOut = false;
      const collect = (text: string): void => {
        if (output.length < MAX_OUTPUT_BYTES) output = (output + text).slice(0, MAX_OUTPUT_BYTES);
      };
      child.stdout.setEncoding('utf8').on('data', collect);
      child.stderr.setEncoding('utf8').on('data', collect);
      const kill = (): void => {
        timedOut = true;
        // The whole group: a shell's children would hold the output open.
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      };
      const timer = clock.setTimer(kill, timeoutMs);
      signal?.addEventListener('abort', kill, { once: true });
      const finish = (result: ExecResult): void => {
        timer.cancel();
        signal?.removeEventListener('abort', kill);
        resolve(result);
      };
      child.on('error', (error) => finish({ exitCode: undefined, output: error.message }));
      child.on('close', (code) => {
        if (timedOut) finish({ exitCode: undefined, output: `timed out after ${timeoutMs} ms` });
        else finish({ exitCode: code ?? 137, output });
      });
    });
  };
}
