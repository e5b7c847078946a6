import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { MeltemiError } from '@meltemi/base';
import type { VolumeFile } from './volume-files.ts';

const CURRENT = '..data';

function isUnchanged(directory: string, files: readonly VolumeFile[]): boolean {
  try {
    const current = join(directory, CURRENT);
    const present = readdirSync(current, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    if (present.length !== files.length) return false;
    return files.every(({ path, content, mode }) => {
      const file = join(current, path);
      return (statSync(file).mode & 0o777) === mode && readFileSync(file).equals(content);
    });
  } catch {
    // Nothing there yet, or another set of files.
    return false;
  }
}

function refuseEscape(path: string): void {
  if (!path.startsWith('/') && !path.split('/').includes('..')) return;
  throw new MeltemiError('VOLUME', `Cannot write volume file "${path}": the path leads out of the volume`);
}

/**
 * Writes all files of a volume at once: a reader sees the old set or the new one, never a mixture.
 *
 * The files lie in a directory that the link `..data` points to, and each top-level name is a link through it; a new
 * set is a new directory and one rename of the link. Programs that watch volumes know this layout.
 *
 * @returns Whether anything had changed.
 * @see Kubernetes, pkg/volume/util/atomic_writer.go
 */
export function writeAtomicDirectory(directory: string, files: readonly VolumeFile[]): boolean {
  for (const { path } of files) refuseEscape(path);
  if (isUnchanged(directory, files)) return false;
  mkdirSync(directory, { recursive: true });
  swap(directory, mkdtempSync(`${directory}/..set-`), files);
  return true;
}

function swap(directory: string, fresh: string, files: readonly VolumeFile[]): void {
  chmodSync(fresh, 0o755);
  for (const { path, content, mode } of files) {
    const file = join(fresh, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content, { mode });
  }
  const link = join(directory, CURRENT);
  const previous = readLink(link);
  const temporary = join(directory, '..data_tmp');
  rmSync(temporary, { force: true });
  symlinkSync(fresh.slice(directory.length + 1), temporary);
  renameSync(temporary, link);
  const names = new Set(files.map(({ path }) => path.split(sep)[0] as string));
  for (const name of names) {
    if (readLink(join(directory, name)) === undefined) symlinkSync(join(CURRENT, name), join(directory, name));
  }
  for (const name of readdirSync(directory)) {
    if (!name.startsWith('..') && !names.has(name)) rmSync(join(directory, name), { force: true });
  }
  if (previous !== undefined) rmSync(join(directory, previous), { recursive: true, force: true });
}

function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
