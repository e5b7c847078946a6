import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { messageOf } from '@meltemi/base';
import type { ManifestEntry } from '@meltemi/local';
import { matchesSelector } from '../commands/manifest-flags.ts';
import { type ManifestObject, parseManifest } from '../manifest.ts';

/** An object of a listed file, and the namespace for it when it names none. */
export interface ListedManifest {
  readonly manifest: ManifestObject;
  readonly defaultNamespace: string;
  /** The file cannot be read now: this is how it was when it could. */
  readonly isStale: boolean;
}

/** What the files of one cluster hold now. */
export interface ListedFiles {
  readonly objects: readonly ListedManifest[];
  /** One line for each file that cannot be read; its objects are those of the last time it could. */
  readonly problems: readonly string[];
}

/** A path as a person in this folder would write it. */
export function displayPath(path: string): string {
  const short = relative('', path);
  return short === '' || short.startsWith('..') ? path : short;
}

/** Reads the files of one cluster again and again; what cannot be read stays as it was. */
export class ListedFileReader {
  readonly #entries: readonly ManifestEntry[];
  readonly #lastGood = new Map<ManifestEntry, readonly ListedManifest[]>();

  constructor(entries: readonly ManifestEntry[]) {
    this.#entries = entries;
  }

  get files(): readonly string[] {
    return this.#entries.map((entry) => entry.file);
  }

  read(): ListedFiles {
    const problems = new Set<string>();
    const objects = this.#entries.flatMap((entry) => {
      try {
        const read = this.#readEntry(entry);
        this.#lastGood.set(entry, read);
        return read;
      } catch (error) {
        problems.add(messageOf(error));
        return (this.#lastGood.get(entry) ?? []).map((item) => ({ ...item, isStale: true }));
      }
    });
    return { objects, problems: [...problems] };
  }

  #readEntry(entry: ManifestEntry): readonly ListedManifest[] {
    const { file, namespace = 'default', selector } = entry;
    const shown = displayPath(file);
    const text = readFileSync(file, 'utf8');
    // An editor that truncates and then writes must not delete everything in between.
    if (text.trim() === '' && this.#lastGood.has(entry))
      throw new Error(`${shown}:1: the file is empty; to delete its objects, leave a comment in it`);
    return parseManifest(text, shown)
      .filter(({ object }) => selector === undefined || matchesSelector(object.metadata.labels, selector))
      .map((manifest) => ({ manifest, defaultNamespace: namespace, isStale: false }));
  }
}
