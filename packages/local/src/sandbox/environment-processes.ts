import { findProcessesByVariable } from './process-table.ts';

const NAME = 'MELTEMI_ENVIRONMENT';

/** `NAME=value`: what the environment of every process of an environment holds where no namespace holds them together. */
export function environmentVariable(directory: string): string {
  return `${NAME}=${directory}`;
}

/** The same, as a member of a container's variables. */
export function environmentVariables(directory: string): Readonly<Record<string, string>> {
  return { [NAME]: directory };
}

/**
 * Kills every process of an environment that has outlived it. To be called while the environment's name is held, so that
 * none of them can be a living environment's.
 *
 * @returns How many there were.
 */
export function killEnvironmentProcesses(directory: string): number {
  const left = findProcessesByVariable(NAME, directory).filter((pid) => pid !== process.pid);
  for (const pid of left) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Ended meanwhile.
    }
  }
  return left.length;
}
