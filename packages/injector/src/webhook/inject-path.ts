import { err, ok, type Result } from '@meltemi/base';

/** What the path of a webhook call says about the cluster that the pod is created in. */
export interface InjectPath {
  readonly clusterId?: string;
  readonly network?: string;
}

const KEYS: Readonly<Record<string, keyof InjectPath>> = { cluster: 'clusterId', net: 'network' };

/**
 * Reads `/inject`, or `/inject/cluster/<id>/net/<network>`, by which a remote cluster's webhook says who it is. Within a
 * value `--slash--` stands for a slash.
 */
export function parseInjectPath(path: string): Result<InjectPath> {
  const [empty, inject, ...rest] = path.split('/');
  if (empty !== '' || inject !== 'inject') return err(`path ${path} is not /inject…`);
  const parts = rest.filter((part, index) => part !== '' || index < rest.length - 1);
  if (parts.length % 2 !== 0) return err(`path ${path} does not consist of key/value pairs after /inject`);
  const parsed: { -readonly [Key in keyof InjectPath]: string } = {};
  for (let index = 0; index < parts.length; index += 2) {
    const key = KEYS[parts[index] ?? ''];
    if (key === undefined)
      return err(`path ${path} has the unknown key "${parts[index]}"; known: ${Object.keys(KEYS).join(', ')}`);
    parsed[key] = decodeURIComponent(parts[index + 1] ?? '').replaceAll('--slash--', '/');
  }
  return ok(parsed);
}

/** The path that a cluster's webhook is given, the reverse of {@link parseInjectPath}. */
export function formatInjectPath({ clusterId, network }: InjectPath): string {
  const segment = (key: string, value: string | undefined): string =>
    value === undefined || value === '' ? '' : `/${key}/${encodeURIComponent(value.replaceAll('/', '--slash--'))}`;
  return `/inject${segment('cluster', clusterId)}${segment('net', network)}`;
}
