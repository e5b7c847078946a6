import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { KubernetesObject } from '@meltemi/api';
import { MeltemiError } from '@meltemi/base';
import { LineCounter, parseAllDocuments } from 'yaml';
import type { ConfigStore } from '../config-store.ts';
import { GALLEY_ERROR_CODES } from '../errors.ts';

/** A resource and where it was written. */
export interface FileResource {
  readonly object: KubernetesObject;
  readonly file: string;
  /** 1-based line of the document. */
  readonly line: number;
}

/**
 * Reads resources from a file, or from all `.yaml`, `.yml` and `.json` files of a folder, in the order of their names.
 *
 * @throws MeltemiError `CONFIG_FILE_INVALID`, naming file and line, when a file cannot be parsed.
 */
export async function readResourceFiles(path: string): Promise<readonly FileResource[]> {
  const files = (await stat(path)).isDirectory()
    ? (await readdir(path))
        .filter((name) => /\.(ya?ml|json)$/.test(name))
        .toSorted()
        .map((name) => join(path, name))
    : [path];
  const read = files.map(async (file) => parseResourceText(await readFile(file, 'utf8'), file));
  return (await Promise.all(read)).flat();
}

/** Parses the resources of one text, which may hold several YAML documents. */
export function parseResourceText(text: string, file: string): readonly FileResource[] {
  const lines = new LineCounter();
  const resources: FileResource[] = [];
  for (const document of parseAllDocuments(text, { lineCounter: lines })) {
    const [problem] = document.errors;
    if (problem !== undefined) {
      const line = lines.linePos(problem.pos[0]).line;
      throw new MeltemiError(GALLEY_ERROR_CODES.file, `Cannot read ${file}:${line}: ${problem.message}`);
    }
    const value: unknown = document.toJS();
    if (value === null || value === undefined) continue;
    const line = lines.linePos(document.contents?.range?.[0] ?? 0).line;
    // The store checks the envelope and the rest.
    resources.push({ object: value as KubernetesObject, file, line });
  }
  return resources;
}

/** Puts the resources of files into a store, once. */
export async function loadFiles(path: string, store: ConfigStore): Promise<void> {
  for (const { object, file, line } of await readResourceFiles(path)) store.put(object, { file, line });
}
