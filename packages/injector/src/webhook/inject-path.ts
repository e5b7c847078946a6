import { err, ok, type Result } from '@meltemi/base';

/** What the path of a webhook call says about the cluster that the pod is created in. */
export interface InjectPath {
  readonly clusterId?: string;
  readonly network?: string;
  /** Further variables of the sidecar's environment. */
  readonly env?: Readonly<Record<string, string>>;
}

const KEYS: Readonly<Record<string, 'clusterId' | 'network'>> = { cluster: 'clusterId', net: 'network' };
/** Keys that are names of variables. */
const VARIABLE = /^[A-Z_][A-Z0-9_]*$/;

/**
 * Reads `/inject`, or `/inject/cluster/<id>/net/<network>`, by which a remote cluster's webhook says who it is; other
 * pairs, `/NAME/<value>`, are variables of the sidecar. Within a value `--slash--` stands for a slash.
 */
export function parseInjectPath(path: string): Result<InjectPath> {
  const [empty, inject, ...rest] = path.split('/');
  if (empty !== '' || inject !== 'inject') return err(`path ${path} is not /inject…`);
  const parts = rest.filter((part, index) => part !== '' || index < rest.length - 1);
  if (parts.length % 2 !== 0) return err(`path ${path} does not consist of key/value pairs after /inject`);
  const env: Record<string, string> = {};
  const parsed: { clusterId?: string; network?: string } = {};
  for (let index = 0; index < parts.length; index += 2) {
    const name = parts[index] ?? '';
    const value = decodeSegment(parts[index + 1] ?? '');
    if (value === undefined) return err(`path ${path} has a value that is not percent-encoded correctly`);
    const key = Object.hasOwn(KEYS, name) ? KEYS[name] : undefined;
    if (key !== undefined) parsed[key] = value;
    else if (VARIABLE.test(name)) env[name] = value;
    else {
      const known = Object.keys(KEYS).join(', ');
      return err(`path ${path} has the unknown key "${name}"; known: ${known}, and names of variables in capitals`);
    }
  }
  return ok(Object.keys(env).length === 0 ? parsed : { ...parsed, env });
}

function decodeSegment(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment).replaceAll('--slash--', '/');
  } catch {
    return undefined;
  }
}
