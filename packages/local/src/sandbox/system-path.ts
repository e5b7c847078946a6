import { accessSync, constants } from 'node:fs';

/** Users other than root often lack these in their `PATH`, and `ip` and `iptables` live there. */
const ADMIN_DIRECTORIES = ['/usr/sbin', '/sbin', '/usr/local/sbin', '/usr/bin', '/bin'];

/** A `PATH` in which the system's administration programs are found too. */
export function toSystemPath(path: string | undefined): string {
  const given = (path ?? '').split(':').filter((directory) => directory.startsWith('/'));
  return [...new Set([...given, ...ADMIN_DIRECTORIES])].join(':');
}

/** @returns The absolute path of a program, or `undefined` when no directory of `path` has it. */
export function findProgram(program: string, path: string): string | undefined {
  for (const directory of path.split(':')) {
    const candidate = `${directory}/${program}`;
    try {
      accessSync(candidate, constants.X_OK);
      return candidate;
    } catch {
      // Not here: the next directory may have it.
    }
  }
  return undefined;
}
