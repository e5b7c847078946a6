import { lstatSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MeltemiError, messageOf, sha256Hex } from '@meltemi/base';

/** Sockets lie up to 56 bytes below the directory, and their paths have at most 107. */
const MAX_LENGTH = 50;

/** In memory where possible: keys and tokens must not outlive the environment. */
function parents(env: Readonly<Record<string, string | undefined>>): readonly string[] {
  return [env['XDG_RUNTIME_DIR'] ?? '', '/dev/shm', tmpdir(), '/tmp'];
}

function isDirectory(path: string): boolean {
  return path.startsWith('/') && statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** The name that an environment's folder has among those of others. */
function nameFor(environment: string): string {
  return `meltemi-${sha256Hex(environment).slice(0, 10)}`;
}

function makeEmpty(path: string): void {
  const present = lstatSync(path, { throwIfNoEntry: false });
  // Everyone may write to the parent: what somebody else put there is not to be used, nor followed.
  if (present !== undefined && present.uid !== process.getuid?.())
    throw new Error(`it belongs to user ${present.uid} already`);
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { mode: 0o700 });
}

/**
 * Makes the directory of an environment without namespaces: empty, short, readable by its owner only.
 *
 * @throws MeltemiError `RUNTIME_DIRECTORY` when there is no place for it.
 */
export function makeRuntimeDirectory(environment: string, env: Readonly<Record<string, string | undefined>>): string {
  const problems: string[] = [];
  for (const parent of parents(env)) {
    const path = join(parent, nameFor(environment));
    if (!isDirectory(parent) || path.length > MAX_LENGTH) continue;
    try {
      makeEmpty(path);
      return path;
    } catch (error) {
      problems.push(`${path}: ${messageOf(error)}`);
    }
  }
  throw new MeltemiError('RUNTIME_DIRECTORY', `Cannot make a directory for sockets and keys: ${problems.join('; ')}`);
}
