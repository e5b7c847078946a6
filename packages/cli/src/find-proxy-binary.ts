import { accessSync, constants, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { CommandError, EXIT } from './exit-code.ts';

/**
 * The executable that sidecars shall run: a path, or the name of a program.
 *
 * @param path The `PATH` that a bare name is looked up in.
 * @returns Its absolute path.
 * @throws CommandError usage, when there is none: sidecars would start it again and again, in vain.
 */
export function findProxyBinary(named: string, path: string | undefined): string {
  const isPath = named.includes('/');
  const candidates = isPath ? [resolve(named)] : (path ?? '').split(':').map((folder) => resolve(folder, named));
  for (const candidate of candidates) {
    try {
      accessSync(candidate, constants.X_OK);
      if (statSync(candidate).isFile()) return candidate;
    } catch {
      // Not this one.
    }
  }
  throw new CommandError(
    EXIT.usage,
    `Cannot run ${named} as the proxy of sidecars: ${isPath ? `${resolve(named)} is not an executable file` : 'no folder of PATH has such a program'}`,
  );
}
