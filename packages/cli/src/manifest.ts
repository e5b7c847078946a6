import { readFileSync } from 'node:fs';
import { messageOf } from '@meltemi/base';
import type { KubeObject } from '@meltemi/kube';
import { type Document, LineCounter, parseAllDocuments } from 'yaml';
import { CommandError, EXIT } from './exit-code.ts';

/** One object of a manifest, and the way back from its fields to the lines of the file. */
export interface ManifestObject {
  readonly object: KubeObject;
  /** The file's name as the user gave it; `stdin` for standard input. */
  readonly file: string;
  /** Line of the document's first field, from 1. */
  readonly line: number;
  /**
   * The line of a field.
   *
   * @param fieldPath As API servers write it: `spec.http[0].route[1].weight`. The nearest parent that the file has
   *   stands in for a field that it does not have.
   */
  lineOf(fieldPath: string): number;
}

/** The steps of a field path: `spec.ports[0].name` and `metadata.labels["a.b/c"]` alike. */
export function parseFieldPath(path: string): (string | number)[] {
  const steps: (string | number)[] = [];
  for (const match of path.matchAll(/\["([^"]*)"\]|\[(\d+)\]|\[([^\]]*)\]|([^.[\]]+)/g)) {
    const [, quoted, index, key, name] = match;
    if (index !== undefined) steps.push(Number(index));
    else steps.push(quoted ?? key ?? name ?? '');
  }
  return steps;
}

function nodeOffset(document: Document.Parsed, steps: readonly (string | number)[]): number {
  for (let length = steps.length; length > 0; length--) {
    const parent: unknown = document.getIn(steps.slice(0, length - 1), true);
    const last = steps[length - 1];
    // The key's place rather than the value's: a mapping's value begins a line further down.
    const items = (parent as { items?: { key?: { value?: unknown; range?: number[] } }[] } | undefined)?.items;
    const pair =
      typeof last === 'string' && Array.isArray(items) ? items.find((item) => item.key?.value === last) : undefined;
    if (pair?.key?.range?.[0] !== undefined) return pair.key.range[0];
    const node = document.getIn(steps.slice(0, length), true) as { range?: number[] } | undefined;
    if (typeof last === 'number' && node?.range?.[0] !== undefined) return node.range[0];
  }
  return (document.contents as { range?: number[] } | null)?.range?.[0] ?? 0;
}

const TOO_DEEP = 'nested too deeply to be read';

/** The parser goes one call deeper at every level. */
function isStackOverflow(message: string): boolean {
  return message.includes('Maximum call stack size exceeded');
}

/** The parser's message without the place, which is told in our own form, and without its quote of the text. */
function withoutPlace(message: string): string {
  if (isStackOverflow(message)) return TOO_DEEP;
  return (message.split('\n')[0] as string).replace(/ at line \d+, column \d+:?$/, '');
}

/** What is wrong with a document that is well-formed and has no value. */
function describeValueFault(cause: unknown): string {
  const message = messageOf(cause);
  if (isStackOverflow(message)) return TOO_DEEP;
  if (message.includes('Excessive alias count'))
    return `its aliases multiply to more than ${MAX_ALIAS_COUNT}; write the values out`;
  if (message.includes('circular structure')) return 'an alias stands inside the value that it names';
  return message;
}

/** Bound on aliases, so that a few lines cannot become gigabytes. */
const MAX_ALIAS_COUNT = 100;

/**
 * Reads the objects of a YAML or JSON text; `List` objects are taken apart.
 *
 * @throws CommandError unreadable, naming file and line.
 */
export function parseManifest(text: string, file: string): ManifestObject[] {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, uniqueKeys: true });
  const objects: ManifestObject[] = [];
  for (const document of Array.isArray(documents) ? documents : []) {
    const [error] = document.errors;
    if (error !== undefined) {
      const { line, col } = lines.linePos(error.pos[0]);
      throw new CommandError(EXIT.unreadable, `Cannot read ${file}:${line}:${col}: ${withoutPlace(error.message)}`);
    }
    const line = lines.linePos((document.contents as { range?: number[] } | null)?.range?.[0] ?? 0).line;
    let value: unknown;
    try {
      value = document.toJS({ maxAliasCount: MAX_ALIAS_COUNT });
      // An alias inside its own anchor makes a value without an end, which no server can be sent.
      JSON.stringify(value);
    } catch (cause) {
      throw new CommandError(EXIT.unreadable, `Cannot read ${file}:${line}: ${describeValueFault(cause)}`, { cause });
    }
    if (value === null || value === undefined) continue;
    const add = (candidate: unknown, prefix: readonly (string | number)[]): void => {
      const object = candidate as Partial<KubeObject> & { readonly items?: unknown };
      const at = prefix.length === 0 ? line : lines.linePos(nodeOffset(document, prefix)).line;
      if (
        typeof candidate !== 'object' ||
        candidate === null ||
        typeof object.kind !== 'string' ||
        typeof object.apiVersion !== 'string'
      ) {
        throw new CommandError(EXIT.unreadable, `Cannot read ${file}:${at}: an object needs apiVersion and kind`);
      }
      if (object.kind === 'List' && Array.isArray(object.items)) {
        for (const [index, item] of object.items.entries()) add(item, [...prefix, 'items', index]);
        return;
      }
      if (typeof object.metadata?.name !== 'string' && typeof object.metadata?.generateName !== 'string') {
        throw new CommandError(EXIT.unreadable, `Cannot read ${file}:${at}: ${object.kind} needs metadata.name`);
      }
      objects.push({
        // Checked above: the three members that every object has.
        object: candidate as KubeObject,
        file,
        line: at,
        lineOf: (fieldPath) => lines.linePos(nodeOffset(document, [...prefix, ...parseFieldPath(fieldPath)])).line,
      });
    };
    add(value, []);
  }
  return objects;
}

/** Reads a manifest file; `-` is standard input. */
export async function readManifest(file: string, stdin: AsyncIterable<unknown>): Promise<ManifestObject[]> {
  if (file === '-') {
    let text = '';
    for await (const chunk of stdin) text += String(chunk);
    return parseManifest(text, 'stdin');
  }
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new CommandError(EXIT.unreadable, `Cannot read ${file}: ${messageOf(cause)}`, { cause });
  }
  return parseManifest(text, file);
}
