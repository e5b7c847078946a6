import type { X509Certificate } from 'node:crypto';
import { err, ok, type Result } from '@meltemi/base';
import { issuersOf, type SigningBundle } from './signing-bundle.ts';
import { type CertificateFields, decodeCertificateFields } from './x509/certificate-fields.ts';
import { decodePem, splitPem } from './x509/pem.ts';
import { decodeRevocationList, isRevocationListBy, type RevocationList, serialKey } from './x509/revocation-list.ts';

/** Revocation lists that cover every issuer of the mesh's certificates. */
export interface RevocationBundle {
  /** The lists alone, PEM, without what stood between them. */
  readonly pem: string;
  /** Unix milliseconds at which the first list has to be replaced; `undefined` when none says so. */
  readonly notAfterMs: number | undefined;
  /** By issuer, DER in hexadecimal: which serial numbers are revoked. */
  readonly revoked: ReadonlyMap<string, ReadonlySet<string>>;
}

const LABEL = 'X509 CRL';
const BEGIN = /-----BEGIN X509 CRL-----/g;
/** A ConfigMap holds 1 MiB with everything. */
const MAX_BYTES = 1_000_000;

/**
 * Checks a bundle of revocation lists against a signing CA: whoever verifies peers by lists refuses what an issuer without
 * a list has signed, so there must be one of the signing certificate, of each of its chain, and of each root.
 *
 * Lists of issuers that are not known here stay in: clusters under one root have intermediates of their own.
 *
 * @returns The bundle, or the first thing that is wrong with it.
 */
export function parseRevocationBundle(text: string, signing: SigningBundle): Result<RevocationBundle> {
  if (Buffer.byteLength(text) > MAX_BYTES) return err(`it is larger than ${MAX_BYTES} bytes, what a ConfigMap holds`);
  const blocks = splitPem(LABEL, text);
  if (blocks.length === 0) return err(`it holds no PEM block "${LABEL}"`);
  if ((text.match(BEGIN) ?? []).length !== blocks.length) return err('a PEM block in it is cut short');
  const lists: RevocationList[] = [];
  for (const [index, block] of blocks.entries()) {
    const list = decodeRevocationList(decodePem(LABEL, block) ?? new Uint8Array(0));
    if (!list.ok) return err(`list ${index + 1} cannot be read: ${list.error}`);
    lists.push(list.value);
  }
  for (const issuer of issuersOf(signing)) {
    const problem = findProblem(lists, issuer);
    if (problem !== undefined) return err(problem);
  }
  const ends = lists.flatMap(({ notAfterMs }) => notAfterMs ?? []);
  return ok({
    pem: blocks.join(''),
    notAfterMs: ends.length === 0 ? undefined : Math.min(...ends),
    revoked: gatherRevoked(lists),
  });
}

/** Whether a certificate stands in the lists, in that of its issuer's name. */
export function isRevokedBy(
  { revoked }: Pick<RevocationBundle, 'revoked'>,
  { issuer, serialNumber }: Pick<CertificateFields, 'issuer' | 'serialNumber'>,
): boolean {
  return revoked.get(issuerKey(issuer))?.has(serialKey(serialNumber)) ?? false;
}

function gatherRevoked(lists: readonly RevocationList[]): ReadonlyMap<string, ReadonlySet<string>> {
  const revoked = new Map<string, ReadonlySet<string>>();
  for (const { issuer, revokedSerials } of lists) {
    const key = issuerKey(issuer);
    // Several authorities may bear one name.
    revoked.set(key, new Set([...revokedSerials, ...(revoked.get(key) ?? [])]));
  }
  return revoked;
}

function issuerKey(issuer: Uint8Array): string {
  return Buffer.from(issuer).toString('hex');
}

function findProblem(lists: readonly RevocationList[], issuer: X509Certificate): string | undefined {
  const fields = decodeCertificateFields(issuer.raw);
  const who = `${issuer.subject.replaceAll('\n', ', ')} (serial ${issuer.serialNumber})`;
  if (!fields.ok) return `issuer ${who} cannot be read: ${fields.error}`;
  if (!fields.value.signsRevocationLists)
    return `issuer ${who} may not sign revocation lists: its key usage lacks cRLSign, so that proxies would refuse all peers`;
  const named = lists.filter((list) => Buffer.compare(list.issuer, fields.value.subject) === 0);
  if (named.length === 0)
    return `it lacks the list of issuer ${who}; every certificate of the chain and every root needs one`;
  const own = named.filter((list) => isRevocationListBy(list, issuer));
  if (own.length === 0) return `no list in the name of issuer ${who} bears its signature`;
  // Verifiers would take either, and refuse every peer when it is the wrong one.
  return own.length === named.length || own.every(({ namesKey }) => namesKey)
    ? undefined
    : `there are lists of several issuers in the name of ${who}: each needs an authority key identifier`;
}
