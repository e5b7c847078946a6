import { err, messageOf, ok, type Result } from '@meltemi/base';
import { type Document, isCollection, isMap, isSeq, LineCounter, type Node, parseAllDocuments, stringify } from 'yaml';
import type { InjectorConfig } from '../injector-config.ts';
import { findTemplatePath, injectWorkload, type WorkloadObject } from './inject-workload.ts';

/** Manifests after injection. */
export interface InjectedText {
  readonly text: string;
  /** For the user, each with the line that it is about. */
  readonly warnings: readonly string[];
}

/** Bound on aliases, so that a few lines cannot become gigabytes. */
const MAX_ALIAS_COUNT = 100;

/** A part of the text and what takes its place. */
interface Change {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/**
 * Adds sidecars to the workloads of manifests: YAML or JSON, one or more documents, also in a `List`. Only the pod
 * templates are written anew; everything else stays byte for byte what it is.
 *
 * @returns The text, or what forbids it, with its line.
 */
export function injectText(text: string, config: InjectorConfig): Result<InjectedText> {
  const lines = new LineCounter();
  const parsed = parseAllDocuments(text, { lineCounter: lines, uniqueKeys: true });
  const documents = Array.isArray(parsed) ? parsed : [];
  const changes: Change[] = [];
  const warnings: string[] = [];
  for (const document of documents) {
    const [error] = document.errors;
    if (error !== undefined) return err(`line ${lines.linePos(error.pos[0]).line}: ${error.message.split('\n')[0]}`);
    for (const node of objectsOf(document.contents)) {
      const line = lines.linePos(node.range?.[0] ?? 0).line;
      const change = changeObject(text, document, node, config);
      if (!change.ok) return err(`line ${line}: ${change.error}`);
      warnings.push(...change.value.warnings.map((warning) => `line ${line}: ${warning}`));
      if (change.value.change !== undefined) changes.push(change.value.change);
    }
  }
  return ok({ text: applyChanges(text, changes), warnings });
}

/** The objects of a document: itself, or the items of a `List`. */
function objectsOf(contents: unknown): readonly Node[] {
  if (!isMap(contents)) return [];
  const items = contents.get('items', true);
  const isList = String(contents.get('kind') ?? '').endsWith('List') && isSeq(items);
  return isList ? items.items.flatMap((item) => (isMap(item) ? objectsOf(item) : [])) : [contents];
}

function changeObject(
  text: string,
  document: Document.Parsed,
  node: Node,
  config: InjectorConfig,
): Result<{ readonly warnings: readonly string[]; readonly change?: Change }> {
  let object: unknown;
  try {
    object = node.toJS(document, { maxAliasCount: MAX_ALIAS_COUNT });
  } catch (error) {
    return err(messageOf(error));
  }
  // An object has these members or is not looked at.
  const workload = object as WorkloadObject;
  const path = findTemplatePath(workload);
  if (path === undefined || !isMap(node)) return ok({ warnings: [] });
  const injected = injectWorkload(workload, path, config);
  if (!injected.ok) return injected;
  const { template, warnings } = injected.value;
  if (template === undefined) return ok({ warnings });
  const target = path.length === 0 ? node : node.getIn(path, true);
  // The template was found in the object, so it is in the node, unless an alias stands for it.
  if (!isCollection(target) || target.range === undefined || target.range === null) {
    return err(`${workload.kind} ${workload.metadata?.name ?? ''}: its pod template is an alias; write it out`);
  }
  return ok({ warnings, change: replaceNode(text, target, template) });
}

/** Writes a value in place of a node, in its style and with its indentation. */
function replaceNode(text: string, node: Node, value: unknown): Change {
  const [start, valueEnd] = node.range ?? [0, 0];
  const end = start + text.slice(start, valueEnd).trimEnd().length;
  const lineStart = text.lastIndexOf('\n', start - 1) + 1;
  const isFlow = text[start] === '{';
  if (!isFlow) {
    const yaml = stringify(value, { lineWidth: 0, aliasDuplicateObjects: false }).trimEnd();
    return { start, end, text: indent(yaml, ' '.repeat(start - lineStart)) };
  }
  if (!text.slice(start, end).includes('\n')) return { start, end, text: JSON.stringify(value) };
  const margin = /^\s*/.exec(text.slice(lineStart))?.[0] ?? '';
  return { start, end, text: indent(JSON.stringify(value, null, 2), margin) };
}

/** Every line but the first, which stands where it did; lines of block scalars without text stay empty. */
function indent(text: string, margin: string): string {
  return text.replaceAll(/\n(?!\n|$)/g, `\n${margin}`);
}

function applyChanges(text: string, changes: readonly Change[]): string {
  return changes
    .toSorted((left, right) => right.start - left.start)
    .reduce((result, change) => result.slice(0, change.start) + change.text + result.slice(change.end), text);
}
