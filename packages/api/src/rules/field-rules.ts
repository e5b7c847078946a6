import { parseDurationMs } from '@meltemi/base/pure';
import type { FindingList } from '../finding.ts';
import type { StringMatch } from '../kinds/shared-messages.ts';

const MAX_REGEX_LENGTH = 1024;
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const HOST_LABEL = /^[A-Za-z0-9_]([-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?$/;
const HEADER_TOKEN = /^[-!#$%&'*+.^_`|~0-9A-Za-z]+$/;
const LABEL_NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;

/** What rules may ask for from outside, since this package is pure and small. */
export interface RuleContext {
  /** The namespace of the resource. */
  readonly namespace: string;
  /**
   * Says what is wrong with an RE2 regular expression; `undefined` when nothing is.
   * Absent: only length and emptiness are checked.
   */
  readonly checkRegex?: ((pattern: string) => string | undefined) | undefined;
}

/** Whether the text is an IPv4 or IPv6 address. */
export function isIpAddress(text: string): boolean {
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return text.split('.').every((part) => Number(part) <= 255);
  return text.includes(':') && /^[0-9a-fA-F:.]+$/.test(text);
}

/** A CIDR such as `10.0.0.0/8`, or a single address. */
export function checkCidr(text: string, path: string, findings: FindingList): void {
  const [address, bits, ...rest] = text.split('/');
  const maxBits = address?.includes(':') === true ? 128 : 32;
  const bitsValid = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= maxBits);
  if (address !== undefined && isIpAddress(address) && bitsValid && rest.length === 0) return;
  findings.error(path, `"${text}" is not an address or CIDR; write it as 10.0.0.0/8`);
}

/** A DNS-1123 label, as names of namespaces and subsets are. */
export function isDnsLabel(text: string): boolean {
  return DNS_LABEL.test(text);
}

/** A fully qualified or short host name, an address, or a name whose whole leftmost label is `*`. */
export function checkHost(host: string, path: string, findings: FindingList): void {
  if (host === '') return findings.error(path, 'is empty; name a host such as reviews.default.svc.cluster.local');
  if (host === '*' || isIpAddress(host)) return;
  const labels = (host.startsWith('*.') ? host.slice(2) : host).replace(/\.$/, '').split('.');
  if (host.length <= 255 && labels.every((label) => HOST_LABEL.test(label))) return;
  const hint = host.includes('*') ? '; a wildcard is the whole leftmost label, as in *.example.com' : '';
  findings.error(path, `"${host}" is not a host name${hint}`);
}

/** A port number, 1 to 65535. */
export function checkPort(port: number | undefined, path: string, findings: FindingList): void {
  if (port === undefined || port < 1 || port > 65535) {
    findings.error(path, `must be a port of 1 to 65535, is ${port ?? 'absent'}`);
  }
}

/** A duration that is long enough; the finest unit is a millisecond. */
export function checkDuration(
  text: string | undefined,
  path: string,
  findings: FindingList,
  options: { readonly minimumMs: number } = { minimumMs: 1 },
): void {
  if (text === undefined) return;
  const parsed = parseDurationMs(text);
  // The message check has reported texts that are no duration.
  if (!parsed.ok) return;
  if (parsed.value < options.minimumMs) {
    findings.error(path, `is ${text}, must be at least ${options.minimumMs}ms`);
  } else if (!Number.isInteger(Number(parsed.value.toFixed(6)))) {
    findings.error(path, `is ${text}; only whole milliseconds are supported`);
  }
}

/** A percentage, 0 to 100. */
export function checkPercent(value: number | undefined, path: string, findings: FindingList): void {
  if (value !== undefined && (value < 0 || value > 100)) findings.error(path, `is ${value}, must be 0 to 100`);
}

/** An RE2 regular expression. */
export function checkRegex(pattern: string, path: string, context: RuleContext, findings: FindingList): void {
  if (pattern === '') return findings.error(path, 'is empty; write a regular expression, or leave the match out');
  if (pattern.length > MAX_REGEX_LENGTH) {
    return findings.error(path, `has ${pattern.length} characters, at most ${MAX_REGEX_LENGTH} are allowed`);
  }
  const problem = context.checkRegex?.(pattern);
  if (problem !== undefined) findings.error(path, `is not an RE2 regular expression: ${problem}`);
}

/** A string match: its prefix and its regular expression must not be empty. */
export function checkStringMatch(
  match: StringMatch | undefined,
  path: string,
  context: RuleContext,
  findings: FindingList,
): void {
  if (match === undefined) return;
  if (match.prefix === '') findings.error(`${path}.prefix`, 'is empty; write a prefix, or leave the match out');
  if (match.regex !== undefined) checkRegex(match.regex, `${path}.regex`, context, findings);
}

/** A header name. */
export function checkHeaderName(name: string, path: string, findings: FindingList): void {
  if (!HEADER_TOKEN.test(name)) findings.error(path, `"${name}" is not a header name`);
}

/** Labels that select or mark workloads. */
export function checkLabels(
  labels: Readonly<Record<string, string>> | undefined,
  path: string,
  findings: FindingList,
): void {
  for (const [key, value] of Object.entries(labels ?? {})) {
    const name = key.includes('/') ? key.slice(key.indexOf('/') + 1) : key;
    if (!LABEL_NAME.test(name)) findings.error(`${path}[${key}]`, `"${key}" is not a label name`);
    if (value !== '' && !LABEL_NAME.test(value)) findings.error(`${path}[${key}]`, `"${value}" is not a label value`);
  }
}

/** The labels of a workload selector: neither empty keys nor wildcards. */
export function checkSelector(
  matchLabels: Readonly<Record<string, string>> | undefined,
  path: string,
  findings: FindingList,
): void {
  const entries = Object.entries(matchLabels ?? {});
  if (entries.length === 0) findings.warning(path, 'selects every workload of the namespace; name labels');
  for (const [key, value] of entries) {
    if (key === '') findings.error(path, 'has an empty key; name a label');
    if (`${key}${value}`.includes('*'))
      findings.error(`${path}[${key}]`, 'wildcards are not supported; write the value');
  }
}

/** An `exportTo` list: `*`, `.`, or namespaces, without duplicates. */
export function checkExportTo(
  exportTo: readonly string[] | undefined,
  path: string,
  context: RuleContext,
  findings: FindingList,
): void {
  const seen = new Set<string>();
  const values = exportTo ?? [];
  values.forEach((value, index) => {
    const itemPath = `${path}[${index}]`;
    const namespace = value === '.' ? context.namespace : value;
    if (seen.has(namespace)) findings.error(itemPath, `"${value}" is listed twice; remove one`);
    seen.add(namespace);
    if (value === '~') findings.error(itemPath, '"~" is for services only; use "." to keep it in the namespace');
    else if (value !== '*' && value !== '.' && !isDnsLabel(value)) {
      findings.error(itemPath, `"${value}" must be "*", "." or the name of a namespace`);
    }
  });
  if (values.includes('*') && values.length > 1) {
    findings.error(path, 'mixes "*" with other values; "*" alone exports to all namespaces');
  }
}
