import { readFileSync, realpathSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { directoriesOfSocketNames, type EnvironmentState, readEnvironmentState } from '@meltemi/local';
import { CommandError, EXIT } from './exit-code.ts';

/** The folders of all environments that run on this machine, as the kernel's list of sockets tells them. */
function runningEnvironmentDirectories(): string[] {
  // Abstract names stand at the end of the line, after an @.
  const names = readFileSync('/proc/net/unix', 'utf8').matchAll(/ @(.+)$/gm);
  return directoriesOfSocketNames(Array.from(names, ([, name]) => name as string));
}

/** The environments that run and that this user may look at. */
export function runningEnvironments(): EnvironmentState[] {
  return runningEnvironmentDirectories().flatMap((path) => readEnvironmentState(path) ?? []);
}

function list(environments: readonly EnvironmentState[]): string {
  return environments.map((state) => `  ${state.directory}`).join('\n');
}

/** How a user may say which environment is meant. */
export interface EnvironmentChoice {
  /** `--dir`. */
  readonly directory: string | undefined;
  /** `MELTEMI_DIR`. */
  readonly directoryFromEnv: string | undefined;
}

/**
 * The environment that a command talks to: the one named, or the only one that runs.
 *
 * @throws CommandError usage: none or several run, or the one named does not.
 */
export function findEnvironment({ directory, directoryFromEnv }: EnvironmentChoice): EnvironmentState {
  const named = directory ?? (directoryFromEnv === '' ? undefined : directoryFromEnv);
  if (named !== undefined) {
    const path = resolve(named);
    const state = readEnvironmentState(path);
    if (state === undefined) {
      const origin = directory === undefined ? ' (named by MELTEMI_DIR)' : '';
      const others = runningEnvironments();
      throw new CommandError(
        EXIT.usage,
        `No environment runs in ${path}${origin}; ${others.length === 0 ? `start it with "meltemi up ${named}"` : `these run:\n${list(others)}`}`,
      );
    }
    return state;
  }
  const running = runningEnvironments();
  const [only, ...others] = running;
  if (only === undefined)
    throw new CommandError(
      EXIT.usage,
      'No environment runs; start one with "npm start" or "meltemi up DIR", or name a cluster with --kubeconfig',
    );
  if (others.length > 0) {
    throw new CommandError(
      EXIT.usage,
      `${running.length} environments run; name one with --dir or MELTEMI_DIR:\n${list(running)}`,
    );
  }
  return only;
}

/** Where `npm start` keeps its environment. */
export function walkthroughDirectory(repositoryRoot: string): string {
  return join(realpathSync(repositoryRoot), '.meltemi/walkthrough');
}
