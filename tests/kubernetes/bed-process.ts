/** Starts the bed as its user would, and speaks to it through the real kubectl. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { readEnvironmentState } from '@meltemi/local';
import { findPeer } from '@meltemi/testing';
import {
  type CommandResult,
  type EnvironmentProcess,
  environmentProcesses,
  runCommand,
} from '../walkthrough/environment-harness.ts';

const START_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 30_000;

/** How a bed is started. */
export interface BedOptions {
  /** With its mesh.yaml in it. */
  readonly directory: string;
  readonly flags?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** A bed that runs. */
export interface BedProcess extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly kubeconfig: string;
  /** From the start of the command until it said that everything is up. */
  readonly startupMs: number;
  output(): string;
  kubectl(args: readonly string[], input?: string): Promise<CommandResult>;
  processes(): readonly EnvironmentProcess[];
}

/** Resolves when the command says that everything is up. */
export async function startBed({ directory, flags = [], env = {} }: BedOptions): Promise<BedProcess> {
  const startedMs = performance.now();
  const child = spawn(process.execPath, [join(import.meta.dirname, 'bed.ts'), 'up', directory, ...flags], {
    // The peers are found by the home of who runs the tests.
    env: { MELTEMI_CACHE: join(homedir(), '.cache/meltemi'), ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stderr.on('data', (chunk) => (output += String(chunk)));
  child.stdout.on('data', (chunk) => (output += String(chunk)));
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGINT');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await exited;
    clearTimeout(timer);
  };
  const up = new Promise<void>((resolve, reject) => {
    const fail = (why: string): void => reject(new Error(`${why}:\n${output}`));
    const timer = setTimeout(() => fail(`Not up after ${START_TIMEOUT_MS / 1000} s`), START_TIMEOUT_MS);
    child.once('exit', (code) => fail(`The bed ended with ${code}`));
    child.once('exit', () => clearTimeout(timer));
    child.stderr.on('data', () => {
      if (!output.includes('everything is up')) return;
      clearTimeout(timer);
      resolve();
    });
  });
  try {
    await up;
  } catch (error) {
    await stop();
    throw error;
  }
  const startupMs = performance.now() - startedMs;
  const kubeconfig = readEnvironmentState(directory)?.kubeconfig;
  const program = findPeer('kubectl');
  if (kubeconfig === undefined || program === undefined) throw new Error('The bed has no state, or kubectl is missing');
  return {
    child,
    kubeconfig,
    startupMs,
    output: () => output,
    kubectl: (args, input) =>
      runCommand(program, args, {
        env: { ...process.env, KUBECONFIG: kubeconfig },
        ...(input === undefined ? {} : { input }),
      }),
    processes: () => environmentProcesses(directory),
    [Symbol.asyncDispose]: stop,
  };
}
