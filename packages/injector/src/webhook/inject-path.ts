import { err, ok, type Result } from '@meltemi/base';

/** What the path of a webhook call says about the cluster that the pod is created in. */
export interface InjectPath {
  readonly clusterId?: string;
  readonly network?: string;
  /** Further variables of the sidecar's environment. */
  readonly env?: Readonly<Record<string, string>>;
}

const KEYS: Readonly<Record<string, 'clusterId' | 'network'>> = { cluster: 'clusterId', net: 'network' };
/** Before each pair of the syntax of old. */
const OLD_MARK = ':ENV:';
/** What variables may be called. */
const VARIABLE = /^[A-Z_][A-Z0-9_]*$/;

/**
 * Reads `/inject`, or `/inject/cluster/<id>/net/<network>`, by which a remote cluster's webhook says who it is; other
 * pairs, `/name/<value>`, are variables of the sidecar, in capitals. Within a value `--slash--` stands for a slash. A key
 * without a value at the end is left out. The syntax of old, `/inject/:ENV:cluster=<id>:ENV:net=<network>`, says the same.
 *
 * @see Istio, pkg/kube/inject/webhook.go (names of keys, both syntaxes)
 */
export function parseInjectPath(path: string): Result<InjectPath> {
  if (path !== '/inject' && !path.startsWith('/inject/')) return err(`path ${path} is not /inject…`);
  const rest = path.slice('/inject/'.length);
  const pairs = rest.startsWith(OLD_MARK) ? readOldPairs(rest) : readPairs(rest);
  const env: Record<string, string> = {};
  const parsed: { clusterId?: string; network?: string } = {};
  for (const [name, encoded] of pairs) {
    const value = decodeSegment(encoded);
    if (value === undefined) return err(`path ${path} has a value that is not percent-encoded correctly`);
    const key = Object.hasOwn(KEYS, name) ? KEYS[name] : undefined;
    const variable = name.toUpperCase();
    if (key !== undefined) parsed[key] = value;
    else if (VARIABLE.test(variable)) env[variable] = value;
    else return err(`path ${path} has the key "${name}", which no variable can be called`);
  }
  return ok(Object.keys(env).length === 0 ? parsed : { ...parsed, env });
}

function readPairs(text: string): readonly (readonly [string, string])[] {
  const parts = text.replace(/\/$/, '').split('/');
  const pairs: (readonly [string, string])[] = [];
  for (let index = 0; index + 1 < parts.length; index += 2) pairs.push([parts[index] ?? '', parts[index + 1] ?? '']);
  return pairs;
}

/** What is no `name=value` is left out, as Istio does. */
function readOldPairs(text: string): readonly (readonly [string, string])[] {
  return text.split(OLD_MARK).flatMap((pair) => {
    const equals = pair.indexOf('=');
    return equals > 0 ? [[pair.slice(0, equals), pair.slice(equals + 1)] as const] : [];
  });
}

function decodeSegment(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment).replaceAll('--slash--', '/');
  } catch {
    return undefined;
  }
}
