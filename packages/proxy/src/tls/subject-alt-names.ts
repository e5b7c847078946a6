import type { RuntimeSanMatcher } from '../config/runtime-config.ts';
import { parseIp } from '../decide/ip.ts';
import { compileStringMatcher } from '../decide/string-match.ts';

/** Subject alternative names by kind. */
export interface SubjectAltNames {
  readonly uri: readonly string[];
  readonly dns: readonly string[];
  readonly ip: readonly string[];
  readonly email: readonly string[];
}

const KINDS: Readonly<Record<string, keyof SubjectAltNames>> = {
  URI: 'uri',
  DNS: 'dns',
  'IP Address': 'ip',
  email: 'email',
};

/**
 * Reads the printable form that Node gives (`URI:spiffe://…, DNS:"a, b"`).
 *
 * A name that holds special characters is a JSON string there. Splitting at commas would let a certificate whose DNS name is
 * `x, URI:spiffe://…` pass for another.
 *
 * @returns Undefined when the text cannot be read with certainty.
 */
export function parseSubjectAltNames(text: string | undefined): SubjectAltNames | undefined {
  const names = { uri: [] as string[], dns: [] as string[], ip: [] as string[], email: [] as string[] };
  if (text === undefined || text === '') return names;
  let at = 0;
  while (at < text.length) {
    const colon = text.indexOf(':', at);
    if (colon === -1) return undefined;
    const kind = KINDS[text.slice(at, colon)];
    const value = text[colon + 1] === '"' ? readQuoted(text, colon + 1) : readPlain(text, colon + 1);
    if (value === undefined) return undefined;
    if (kind !== undefined) names[kind].push(value.text);
    at = value.end;
    if (at === text.length) break;
    if (!text.startsWith(', ', at)) return undefined;
    at += 2;
  }
  return names;
}

function readPlain(text: string, start: number): { text: string; end: number } {
  const comma = text.indexOf(', ', start);
  const end = comma === -1 ? text.length : comma;
  return { text: text.slice(start, end), end };
}

function readQuoted(text: string, start: number): { text: string; end: number } | undefined {
  let end = start + 1;
  while (end < text.length && text[end] !== '"') end += text[end] === '\\' ? 2 : 1;
  if (end >= text.length) return undefined;
  try {
    return { text: JSON.parse(text.slice(start, end + 1)) as string, end: end + 1 };
  } catch {
    // Not the quoting that Node writes; the caller refuses the certificate.
    return undefined;
  }
}

/** Compiles SAN conditions; one of them must hold for one of the names. An empty list holds for every certificate. */
export function compileSanMatchers(matchers: readonly RuntimeSanMatcher[]): (names: SubjectAltNames) => boolean {
  if (matchers.length === 0) return () => true;
  const tests = matchers.map(({ type, matcher }) => ({ type, test: compileStringMatcher(matcher) }));
  return (names) =>
    tests.some(({ type, test }) => {
      const candidates = type === 'any' ? [...names.uri, ...names.dns] : names[type];
      return candidates.some(test);
    });
}

/** Whether a certificate is one for this host: by its address, or by a DNS name whose first label may be a wildcard. */
export function namesHost(names: SubjectAltNames, host: string): boolean {
  const address = parseIp(host);
  if (address !== undefined) {
    return names.ip.some((text) => {
      const candidate = parseIp(text);
      return candidate?.version === address.version && candidate.value === address.value;
    });
  }
  const wanted = host.toLowerCase();
  const parent = wanted.slice(wanted.indexOf('.') + 1);
  return names.dns.some((text) => {
    const name = text.toLowerCase();
    if (!name.startsWith('*.')) return name === wanted && name !== '';
    // A wildcard stands for one label, and never for all of a top-level domain.
    return name.slice(2) === parent && parent.includes('.') && parent.length < wanted.length - 1;
  });
}
