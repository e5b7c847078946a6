import { isIP, isIPv4 } from 'node:net';
import {
  isHistogramBinCount,
  isHistogramBounds,
  isStatsFlushInterval,
  MAX_HISTOGRAM_BINS,
  parseDurationMs,
} from '@meltemi/base';
import { RE2JS } from 're2js';

/** Says what is wrong with the value of an annotation and what is right, or nothing. */
export type ValueCheck = (value: string) => string | undefined;

/** Log levels of Envoy. */
const PROXY_LEVELS = ['trace', 'debug', 'info', 'warning', 'error', 'critical', 'off'] as const;
/** Log levels of the agent. */
const AGENT_LEVELS = ['debug', 'info', 'warn', 'error', 'fatal', 'none'] as const;
/** The longest name that Linux gives an interface. */
const INTERFACE_NAME = /^[a-zA-Z0-9_.@-]{1,15}\+?$/;

function list(value: string): readonly string[] {
  return value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** Accepts every value. */
export const anything: ValueCheck = () => undefined;

/** @returns A check for values with at least one character. */
export const notEmpty: ValueCheck = (value) =>
  value.trim() === '' ? 'must not be empty; remove the annotation for the default' : undefined;

/** Exactly these words. */
export function oneOf(...allowed: readonly string[]): ValueCheck {
  return (value) => (allowed.includes(value) ? undefined : `must be one of ${allowed.join(', ')}`);
}

/** `true` or `false`. */
export const flag: ValueCheck = oneOf('true', 'false');

/** IP ranges, separated by commas. */
export const ranges: ValueCheck = (value) => {
  const bad = list(value).find((range) => !isRange(range));
  return bad === undefined
    ? undefined
    : `"${bad}" is not an IP range; write ranges such as 10.0.0.0/8, separated by commas`;
};

/** IP ranges, or `*` for every address. */
export const rangesOrAll: ValueCheck = (value) => (value === '*' ? undefined : ranges(value));

function isRange(range: string): boolean {
  const [address = '', length, ...rest] = range.split('/');
  if (isIP(address) === 0 || rest.length > 0) return false;
  return length === undefined || (/^\d{1,3}$/.test(length) && Number(length) <= (isIPv4(address) ? 32 : 128));
}

/** A port; 0 switches off what it is for. */
export const port: ValueCheck = (value) =>
  /^\d{1,5}$/.test(value) && Number(value) <= 65_535 ? undefined : 'must be a port from 0 to 65535';

/** Ports, separated by commas. */
export const ports: ValueCheck = (value) => {
  const bad = list(value).find((text) => text === '0' || port(text) !== undefined);
  return bad === undefined ? undefined : `"${bad}" is not a port; write numbers from 1 to 65535, separated by commas`;
};

/** Ports, or `*` for every port. */
export const portsOrAll: ValueCheck = (value) => (value === '*' ? undefined : ports(value));

/** Names of network interfaces, separated by commas. */
export const interfaces: ValueCheck = (value) => {
  const bad = list(value).find((name) => !INTERFACE_NAME.test(name));
  return bad === undefined
    ? undefined
    : `"${bad}" is not the name of an interface; write names of at most 15 characters, separated by commas`;
};

/** A whole number that is not negative. */
export const wholeNumber: ValueCheck = (value) =>
  /^\d{1,9}$/.test(value) ? undefined : 'must be a whole number, 0 or more';

/** A quantity of Kubernetes. */
export const quantity: ValueCheck = (value) =>
  /^\d+(\.\d+)?(m|[kMGTPE]i?|[eE]\d+)?$/.test(value) ? undefined : 'must be a quantity such as 100m, 2 or 256Mi';

/** A duration of Go. */
export const duration: ValueCheck = (value) =>
  parseDurationMs(value).ok ? undefined : 'must be a duration such as 10s or 1m30s';

/** Levels of single components of the proxy. */
export const componentLevels: ValueCheck = (value) => {
  const levels = PROXY_LEVELS.join('|');
  const bad = list(value).find((entry) => !new RegExp(`^[a-z0-9_]+:(${levels})$`).test(entry));
  return bad === undefined ? undefined : `"${bad}" is not component:level, such as misc:error`;
};

/** The level of the proxy. */
export const proxyLevel: ValueCheck = oneOf(...PROXY_LEVELS);

/** The agent's level, or levels of its scopes. */
export const agentLevels: ValueCheck = (value) => {
  const pattern = new RegExp(`^([a-zA-Z0-9_-]+:)?(${AGENT_LEVELS.join('|')})$`);
  const bad = list(value).find((entry) => !pattern.test(entry));
  if (bad === undefined && list(value).length > 0) return undefined;
  return `"${bad ?? value}" is not scope:level, such as default:info; levels: ${AGENT_LEVELS.join(', ')}`;
};

/** A name of Kubernetes that can be part of a DNS name. */
export const objectName: ValueCheck = (value) =>
  /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(value)
    ? undefined
    : 'must be the name of an object of the same namespace';

/** A host with its port. */
export const hostAndPort: ValueCheck = (value) =>
  /^[^\s/]+:\d{1,5}$/.test(value) ? undefined : 'must be host:port, such as istiod.istio-system.svc:15012';

/** Names of templates. @see selectTemplates for whether they exist */
export const templateNames: ValueCheck = (value) =>
  list(value).length > 0 ? undefined : 'must be names of templates, separated by commas';

/** JSON: an object of objects by name, or a list of objects with a name. */
export const namedObjects: ValueCheck = (value) => (parseNamedObjects(value) === undefined ? NAMED_OBJECTS : undefined);

const NAMED_OBJECTS = 'must be JSON such as {"name": {…}}, or [{"name": "…", …}]';

/** One object of an annotation that holds several by name. */
export type NamedObject = Readonly<Record<string, unknown>> & { readonly name: string };

/** Reads a value that passed {@link namedObjects}; `undefined` for any other. */
export function parseNamedObjects(value: string): readonly NamedObject[] | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  const objects: readonly unknown[] = Array.isArray(parsed)
    ? parsed
    : Object.entries(parsed).map(([name, object]) => (isRecord(object) ? { ...object, name } : undefined));
  return objects.every((object): object is NamedObject => isRecord(object) && typeof object['name'] === 'string')
    ? objects
    : undefined;
}

/** JSON: an object of volume mounts by the name of their volume, each with a `mountPath`. */
export const volumeMounts: ValueCheck = (value) => {
  const mounts = parseNamedObjects(value);
  if (mounts === undefined) return NAMED_OBJECTS;
  const bad = mounts.find(({ mountPath }) => typeof mountPath !== 'string' || mountPath === '');
  return bad === undefined ? undefined : `the mount of volume "${bad.name}" needs a mountPath`;
};

/** JSON: lists of upper bounds by the prefix of a statistic, as Envoy takes them. */
export const histogramBuckets: ValueCheck = (value) =>
  isJsonByPrefix(value, isHistogramBounds)
    ? undefined
    : 'must be JSON such as {"istio": [1, 5, 10, 50]}, with bounds above 0 and none twice';

/** JSON: number of bins by the prefix of a statistic, as Envoy takes it. */
export const histogramBins: ValueCheck = (value) =>
  isJsonByPrefix(value, isHistogramBinCount)
    ? undefined
    : `must be JSON such as {"istio": 100}, with numbers from 1 to ${MAX_HISTOGRAM_BINS}`;

function isJsonByPrefix(text: string, isValue: (value: unknown) => boolean): boolean {
  try {
    const parsed: unknown = JSON.parse(text);
    return isRecord(parsed) && Object.entries(parsed).every(([prefix, value]) => prefix !== '' && isValue(value));
  } catch {
    return false;
  }
}

/** How often statistics are flushed, as Envoy takes it. */
export const flushInterval: ValueCheck = (value) => {
  const duration = parseDurationMs(value);
  return duration.ok && isStatsFlushInterval(duration.value)
    ? undefined
    : 'must be a duration such as 10s, from 1ms to below 5m';
};

/** Regular expressions of RE2, separated by commas. */
export const regexps: ValueCheck = (value) => {
  const bad = list(value).find((pattern) => !isRegexp(pattern));
  if (bad !== undefined) return `"${bad}" is not a regular expression of RE2; patterns are separated by commas`;
  return notEmpty(value);
};

function isRegexp(pattern: string): boolean {
  try {
    RE2JS.compile(pattern);
    return true;
  } catch {
    return false;
  }
}

/** Targets of a scrape, separated by commas. */
export const scrapeTargets: ValueCheck = (value) => {
  const targets = list(value);
  if (targets.length === 0) return 'must be port:path pairs, separated by commas';
  const bad = targets.find((target) => !/^\d{1,5}(:\s*\/?\S*)?$/.test(target) || ports(portOf(target)) !== undefined);
  return bad === undefined ? undefined : `"${bad}" is not port:path, such as 8080:/metrics`;
};

function portOf(target: string): string {
  return target.split(':', 1)[0] ?? '';
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
