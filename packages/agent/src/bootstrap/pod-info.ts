import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What the downward API mounts about the pod. */
export interface PodInfo {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** Where pods find it. */
export const POD_INFO_DIRECTORY = '/etc/istio/pod';

/** Reads the mounted files; a file that is not there (a machine outside Kubernetes) counts as empty. */
export async function readPodInfo(directory: string = POD_INFO_DIRECTORY): Promise<PodInfo> {
  const [labels, annotations] = await Promise.all(
    ['labels', 'annotations'].map((name) => readPairs(join(directory, name))),
  );
  return { labels: labels ?? {}, annotations: annotations ?? {} };
}

async function readPairs(path: string): Promise<Readonly<Record<string, string>>> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return parseDownwardPairs(text);
}

/** Parses lines of the form `key="value"`, the value quoted as a Go string. Other lines are left out. */
export function parseDownwardPairs(text: string): Readonly<Record<string, string>> {
  const pairs: Record<string, string> = {};
  for (const line of text.split('\n')) {
    const separator = line.indexOf('=');
    if (separator < 1) continue;
    const value = unquote(line.slice(separator + 1).trim());
    if (value !== undefined) pairs[line.slice(0, separator)] = value;
  }
  return pairs;
}

/** Go's quoting is JSON's but for `\a`, `\v`, `\xNN` and `\UNNNNNNNN`, which are turned into JSON's first. */
function unquote(quoted: string): string | undefined {
  const json = quoted
    .replaceAll(/(?<!\\)((?:\\\\)*)\\x([0-9a-f]{2})/g, '$1\\u00$2')
    .replaceAll(/(?<!\\)((?:\\\\)*)\\a/g, '$1\\u0007')
    .replaceAll(/(?<!\\)((?:\\\\)*)\\v/g, '$1\\u000b');
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}
