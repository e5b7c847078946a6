import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { walkthroughDirectory } from './running-environments.ts';

/**
 * Makes the folder of `npm start`: the example, with its relative paths pointing back into the clone. A mesh.yaml that
 * nobody has changed follows the example when that changes; one that somebody has changed stays.
 *
 * @returns The folder.
 */
export function prepareWalkthrough(repositoryRoot: string): string {
  const directory = walkthroughDirectory(repositoryRoot);
  mkdirSync(directory, { recursive: true });
  const example = readFileSync(join(repositoryRoot, 'examples/walkthrough/mesh.yaml'), 'utf8').replace(
    /^root: .*$/m,
    `root: ${relative(directory, repositoryRoot)}`,
  );
  const target = join(directory, 'mesh.yaml');
  const original = join(directory, '.mesh.yaml.original');
  const isChanged =
    existsSync(target) && (!existsSync(original) || readFileSync(target, 'utf8') !== readFileSync(original, 'utf8'));
  if (!isChanged) {
    writeFileSync(target, example);
    writeFileSync(original, example);
  }
  return directory;
}
