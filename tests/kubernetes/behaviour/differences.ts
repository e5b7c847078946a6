/** The list of accepted differences: read, and written anew by `MELTEMI_UPDATE_GOLDEN=1`, which keeps the reasons. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Observations } from './scenario.ts';

/** One difference that is accepted. */
export interface Difference {
  readonly reason: string;
  /** What kube-apiserver answers, as JSON. */
  readonly real: string;
  readonly embedded: string;
}

const ENTRY = /^### (.+)\n\n([\s\S]*?)\n\n```text\nkube-apiserver: (.*)\nembedded: (.*)\n```$/gm;

/** By what is observed: `scenario: what`. */
export function readDifferences(text: string): ReadonlyMap<string, Difference> {
  const entries = [...text.matchAll(ENTRY)];
  return new Map(
    entries.map(([, key = '', reason = '', real = '', embedded = '']) => [key, { reason, real, embedded }] as const),
  );
}

/** Replaces the entries of the file by what differs now; new ones have no reason yet. */
export function writeDifferences(file: string, real: Observations, embedded: Observations): void {
  const text = readFileSync(file, 'utf8');
  const known = readDifferences(text);
  const head = text.split(/^### /m)[0]?.trimEnd() ?? '';
  const entries = [...real].flatMap(([key, value]) => {
    const own = embedded.get(key) ?? 'nothing';
    if (own === value) return [];
    const reason = known.get(key)?.reason ?? 'TODO: why?';
    return [`### ${key}\n\n${reason}\n\n\`\`\`text\nkube-apiserver: ${value}\nembedded: ${own}\n\`\`\``];
  });
  writeFileSync(file, `${[head, ...entries].join('\n\n')}\n`);
}
