import { sha256Hex } from '@meltemi/base';

/** Abstract Unix sockets with this prefix mark the environments that run. */
const PREFIX = 'meltemi-environment:';
/** Bytes of an abstract socket's name, without the leading zero. */
const MAX_NAME_BYTES = 106;
const MAX_PART_BYTES = 60;

function splitText(text: string, maxBytes: number): string[] {
  const parts: string[] = [''];
  for (const character of text) {
    const last = parts.length - 1;
    if (Buffer.byteLength(parts[last] + character) <= maxBytes) parts[last] += character;
    else parts.push(character);
  }
  return parts;
}

/**
 * The names of the abstract sockets that an environment holds while it runs: mostly one, which ends in its folder. A
 * folder too long for that is spread over several, each with the folder's digest and its place in the row.
 *
 * @returns The first is the claim: whoever holds it has the folder for itself.
 */
export function environmentSocketNames(directory: string): readonly string[] {
  const name = `${PREFIX}${directory}`;
  if (Buffer.byteLength(name) <= MAX_NAME_BYTES) return [name];
  const digest = sha256Hex(directory).slice(0, 16);
  return splitText(directory, MAX_PART_BYTES).map((part, index) => `${PREFIX}#${digest}.${index}.${part}`);
}

/** The folders that socket names tell of, in order: the way back from {@link environmentSocketNames}. */
export function directoriesOfSocketNames(names: Iterable<string>): string[] {
  const whole = new Set<string>();
  const spread = new Map<string, string[]>();
  for (const name of names) {
    if (!name.startsWith(PREFIX)) continue;
    const rest = name.slice(PREFIX.length);
    const part = /^#([0-9a-f]{16})\.(\d+)\.(.+)$/s.exec(rest);
    if (part === null) {
      whole.add(rest);
      continue;
    }
    const [, digest = '', index = '', text = ''] = part;
    const parts = spread.get(digest) ?? [];
    parts[Number(index)] = text;
    spread.set(digest, parts);
  }
  for (const parts of spread.values()) whole.add(parts.join(''));
  return [...whole].sort();
}
