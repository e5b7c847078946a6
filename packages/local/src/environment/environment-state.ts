import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** One cluster, as its users reach it. */
export interface RunningCluster {
  readonly name: string;
  /** Port of the API on 127.0.0.1. */
  readonly apiPort: number;
}

/** What a running environment tells its clients. */
export interface EnvironmentState {
  /** The environment's folder, absolute. */
  readonly directory: string;
  readonly name: string;
  /** The process that `meltemi up` runs as. */
  readonly pid: number;
  /** Start time of that process in clock ticks since boot: tells it from a later one with the same number. */
  readonly startTicks: string;
  readonly kubeconfig: string;
  readonly clusters: readonly RunningCluster[];
  /** The cluster that the control plane runs in, if there is a mesh. */
  readonly controlPlane?: string;
}

/** When a process started, in clock ticks since boot; `undefined` when there is no such process. */
export function processStartTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command's name may hold blanks and brackets; the fields after it do not.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

/** Where an environment keeps what it needs; nothing of it lies elsewhere. */
export function statePath(directory: string, ...parts: readonly string[]): string {
  return join(directory, '.meltemi', ...parts);
}

/** The state of the environment in a folder; `undefined` when it does not run. */
export function readEnvironmentState(directory: string): EnvironmentState | undefined {
  let state: EnvironmentState;
  try {
    // Written by `writeEnvironmentState` below, whole or not at all.
    state = JSON.parse(readFileSync(statePath(directory, 'environment.json'), 'utf8')) as EnvironmentState;
  } catch {
    return undefined;
  }
  return processStartTicks(state.pid) === state.startTicks ? state : undefined;
}

/** Writes a file so that a reader sees the old text or the new one, never a part. */
export function writeFileAtomically(path: string, text: string, mode: number): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, text, { mode });
  renameSync(temporary, path);
}

/** Makes the environment known to its clients. Readable by its owner only: it leads to the administrator's key. */
export function writeEnvironmentState(state: EnvironmentState): void {
  writeFileAtomically(statePath(state.directory, 'environment.json'), `${JSON.stringify(state, null, 2)}\n`, 0o600);
}

/** Takes the environment off the list of running ones. */
export function removeEnvironmentState(directory: string): void {
  rmSync(statePath(directory, 'environment.json'), { force: true });
}
