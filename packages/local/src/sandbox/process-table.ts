import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

function readProc(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // The process has ended meanwhile, or is not ours.
    return '';
  }
}

/**
 * Whether /proc shows this pid namespace. It shows an outer one where mounting a new /proc is refused; the numbers
 * in it are then not those that `kill` and `spawn` deal in.
 */
export function isProcOurs(): boolean {
  return readlinkSync('/proc/self') === String(process.pid);
}

/** The pid inside this namespace of a process that /proc shows under `procPid`, where /proc shows an outer namespace. */
function toOwnPid(procPid: string): number | undefined {
  const line = /^NSpid:\s+(.*)$/m.exec(readProc(`/proc/${procPid}/status`))?.[1];
  const pids = line?.split(/\s+/) ?? [];
  return pids.length < 2 ? undefined : Number(pids.at(-1));
}

function listProcPids(): readonly string[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name));
}

/** @returns The number under which /proc shows a process of this namespace; `undefined` when it has ended. */
export function findProcPid(pid: number): number | undefined {
  if (isProcOurs()) return readProc(`/proc/${pid}/stat`) === '' ? undefined : pid;
  const namespace = readlinkSync('/proc/self/ns/pid');
  const found = listProcPids().find((procPid) => toOwnPid(procPid) === pid && hasNamespace(procPid, namespace));
  return found === undefined ? undefined : Number(found);
}

function hasNamespace(procPid: string, namespace: string): boolean {
  try {
    return readlinkSync(`/proc/${procPid}/ns/pid`) === namespace;
  } catch {
    return false;
  }
}

/** The environment variable by which every process of a container is found, also one that left its process group. */
export const CONTAINER_KEY_VARIABLE = 'MELTEMI_CONTAINER';

/** Every living process that was started with this container key in its environment, by its pid in this namespace. */
export function findContainerProcesses(key: string): readonly number[] {
  return findProcessesByVariable(CONTAINER_KEY_VARIABLE, key);
}

/** Every living process that was started with this variable in its environment, by its pid in this namespace. */
export function findProcessesByVariable(name: string, value: string): readonly number[] {
  const wanted = `${name}=${value}`;
  const own = isProcOurs();
  return listProcPids().flatMap((procPid) => {
    if (!readProc(`/proc/${procPid}/environ`).split('\0').includes(wanted)) return [];
    const pid = own ? Number(procPid) : toOwnPid(procPid);
    return pid === undefined ? [] : [pid];
  });
}
