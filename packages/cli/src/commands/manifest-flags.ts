import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { MeltemiError, messageOf, parseDurationMs } from '@meltemi/base';
import { CommandError, EXIT } from '../exit-code.ts';
import { type ManifestObject, readManifest } from '../manifest.ts';
import type { ClusterFlags, CommandContext } from '../session.ts';

/** Flags that `apply` and `delete` share. */
export interface ManifestFlags extends ClusterFlags {
  readonly filename?: readonly string[];
  readonly selector?: string;
  readonly wait: string | boolean;
  readonly timeout: string;
}

/** Collects a repeated flag. */
export function collectFlag(value: string, previous: readonly string[] | undefined): string[] {
  return [...(previous ?? []), value];
}

/** Reads `--timeout`. @throws CommandError usage. */
export function readTimeoutMs(text: string): number {
  const timeout = parseDurationMs(text);
  if (!timeout.ok || timeout.value <= 0)
    throw new CommandError(EXIT.usage, `--timeout: ${timeout.ok ? 'needs more than nothing' : timeout.error}`);
  return timeout.value;
}

/** Reads `--wait` and `--wait=false`. */
export function readWait(wait: string | boolean): boolean {
  if (wait === true || wait === 'true') return true;
  if (wait === false || wait === 'false') return false;
  throw new CommandError(EXIT.usage, `--wait needs true or false, not "${wait}"`);
}

function filesOf(path: string): string[] {
  if (path === '-') return [path];
  try {
    if (!statSync(path).isDirectory()) return [path];
    return readdirSync(path)
      .filter((name) => /\.(?:ya?ml|json)$/.test(name))
      .sort()
      .map((name) => join(path, name));
  } catch (cause) {
    throw new CommandError(EXIT.unreadable, `Cannot read ${path}: ${messageOf(cause)}`, { cause });
  }
}

/** Whether labels satisfy an equality selector: `version=v1,app=x`, `tier!=a`, `version`. */
export function matchesSelector(labels: Readonly<Record<string, string>> | undefined, selector: string): boolean {
  return selector.split(',').every((part) => {
    const match = /^\s*([^=!\s]+)\s*(?:(==?|!=)\s*(\S*))?\s*$/.exec(part);
    if (match === null)
      throw new MeltemiError(
        'USAGE',
        `Cannot read the selector "${selector}"; write name=value, name!=value or name, joined by commas`,
      );
    const [, name = '', operator, value] = match;
    if (operator === undefined) return labels?.[name] !== undefined;
    return operator === '!=' ? labels?.[name] !== value : labels?.[name] === value;
  });
}

/** The objects of files, and of the manifests in folders. @throws CommandError unreadable. */
export async function readManifestFiles(context: CommandContext, paths: readonly string[]): Promise<ManifestObject[]> {
  const objects: ManifestObject[] = [];
  for (const file of paths.flatMap(filesOf)) objects.push(...(await readManifest(file, context.terminal.stdin)));
  return objects;
}

/** The objects of all `-f` files that `-l` lets through. @throws CommandError usage or unreadable. */
export async function readManifestFlags(context: CommandContext, flags: ManifestFlags): Promise<ManifestObject[]> {
  if (flags.filename === undefined || flags.filename.length === 0)
    throw new CommandError(EXIT.usage, 'Name the files with -f FILE (a folder, or - for standard input)');
  const objects = await readManifestFiles(context, flags.filename);
  const chosen =
    flags.selector === undefined
      ? objects
      : objects.filter(({ object }) => matchesSelector(object.metadata.labels, flags.selector as string));
  if (chosen.length === 0)
    throw new CommandError(
      EXIT.unreadable,
      `No objects in ${flags.filename.join(', ')}${flags.selector === undefined ? '' : ` match ${flags.selector}`}; of a folder the .yaml, .yml and .json files are read, not folders in it`,
    );
  return chosen;
}
