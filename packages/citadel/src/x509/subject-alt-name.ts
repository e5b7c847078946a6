import { isIP, isIPv4 } from 'node:net';
import { DER_TAG, encodeDer, ok, type Result, readDerChildren } from '@meltemi/base/pure';

/** One subject alternative name: what identifies the holder of a certificate. */
export interface SubjectAltName {
  readonly type: 'dns' | 'uri' | 'ip';
  readonly value: string;
}

/** GeneralName's context tags (RFC 5280 4.2.1.6). */
const TAG = { dns: 0x82, uri: 0x86, ip: 0x87 } as const;

/** The type that a text stands for: an IP address, a SPIFFE URI, else a DNS name. */
export function toSubjectAltName(value: string): SubjectAltName {
  if (isIP(value) !== 0) return { type: 'ip', value };
  return { type: value.startsWith('spiffe://') ? 'uri' : 'dns', value };
}

/** The value of the extension: a SEQUENCE of GeneralNames. */
export function encodeSubjectAltNames(names: readonly SubjectAltName[]): Uint8Array {
  return encodeDer(
    DER_TAG.sequence,
    ...names.map(({ type, value }) => encodeDer(TAG[type], type === 'ip' ? encodeIp(value) : Buffer.from(value))),
  );
}

/** Reads the extension's value; names of types that the mesh does not use (e-mail, directory…) are left out. */
export function decodeSubjectAltNames(der: Uint8Array): Result<readonly SubjectAltName[]> {
  const children = readDerChildren(der, DER_TAG.sequence);
  if (!children.ok) return children;
  const names: SubjectAltName[] = [];
  for (const { tag, content } of children.value) {
    if (tag === TAG.dns) names.push({ type: 'dns', value: Buffer.from(content).toString('latin1') });
    if (tag === TAG.uri) names.push({ type: 'uri', value: Buffer.from(content).toString('latin1') });
    if (tag === TAG.ip) names.push({ type: 'ip', value: formatIp(content) });
  }
  return ok(names);
}

function encodeIp(text: string): Uint8Array {
  if (isIPv4(text)) return Uint8Array.from(text.split('.').map(Number));
  // The URL parser is the platform's canonical form: every group is hexadecimal and at most one run is `::`.
  const host = new URL(`http://[${text.split('%')[0]}]`).hostname.slice(1, -1);
  const [head = '', tail] = host.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups =
    tail === undefined ? left : [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right];
  const bytes = Uint8Array.from(
    groups.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]),
  );
  const isMapped = bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  return isMapped ? bytes.subarray(12) : bytes;
}

function formatIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, index) =>
    (((bytes[index * 2] ?? 0) << 8) | (bytes[index * 2 + 1] ?? 0)).toString(16),
  );
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}
