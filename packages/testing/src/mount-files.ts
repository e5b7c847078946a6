import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Mounts files as kubelets do: they lie in a folder of their version, and a link to it is swapped.
 *
 * @param version Names the folder; another one for each change.
 * @param files Text by name.
 */
export function mountFiles(path: string, version: string, files: Readonly<Record<string, string>>): void {
  const folder = `..${version}`;
  mkdirSync(join(path, folder), { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, folder, name), text);
  replaceLink(folder, join(path, '..data'));
  for (const name of Object.keys(files)) replaceLink(`..data/${name}`, join(path, name));
}

function replaceLink(target: string, path: string): void {
  symlinkSync(target, `${path}.new`);
  renameSync(`${path}.new`, path);
}
