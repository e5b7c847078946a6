import { verify, type X509Certificate } from 'node:crypto';
import {
  DER_TAG,
  type DerElement,
  err,
  formatObjectIdentifier,
  ok,
  type Result,
  readDerChildren,
  readDerElements,
} from '@meltemi/base/pure';
import { OID } from './object-identifiers.ts';
import { findSignatureAlgorithm, type SignatureAlgorithm } from './signature-algorithm.ts';

/** What is looked at in a certificate revocation list (RFC 5280 5.1). */
export interface RevocationList {
  /** The issuer's name, DER. */
  readonly issuer: Uint8Array;
  /** Unix milliseconds of `nextUpdate`, after which verifiers refuse every certificate of the issuer. */
  readonly notAfterMs: number | undefined;
  /** In hexadecimal, as bytes of the INTEGERs. */
  readonly revokedSerials: ReadonlySet<string>;
  /** Whether it names its issuer's key, which tells authorities of one name apart. */
  readonly namesKey: boolean;
  readonly signedBytes: Uint8Array;
  readonly signature: Uint8Array;
  readonly algorithm: SignatureAlgorithm;
}

const TIME = /^(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/;

/** Takes a list's DER apart. Its signature is for {@link isRevocationListBy}. */
export function decodeRevocationList(der: Uint8Array): Result<RevocationList> {
  const outer = readDerChildren(der, DER_TAG.sequence);
  if (!outer.ok) return outer;
  const [body, algorithm, signature] = outer.value;
  if (body === undefined || algorithm === undefined || signature?.tag !== DER_TAG.bitString)
    return err('a revocation list has three parts');
  const fields = readDerChildren(body.raw, DER_TAG.sequence);
  if (!fields.ok) return fields;
  // The version is absent in v1 lists; everything after it keeps its place.
  const [, issuer, , ...rest] = fields.value[0]?.tag === DER_TAG.integer ? fields.value.slice(1) : fields.value;
  if (issuer?.tag !== DER_TAG.sequence) return err('the list has no issuer');
  const extensions = decodeExtensionNames(fields.value.find(({ tag }) => tag === 0xa0));
  if (!extensions.ok) return extensions;
  const revoked = decodeRevokedSerials(rest.find(({ tag }) => tag === DER_TAG.sequence));
  if (!revoked.ok) return revoked;
  const known = decodeAlgorithm(algorithm);
  if (!known.ok) return known;
  return ok({
    issuer: issuer.raw,
    notAfterMs: rest[0] === undefined ? undefined : parseTime(rest[0]),
    revokedSerials: revoked.value,
    namesKey: extensions.value.has(OID.authorityKeyIdentifier),
    signedBytes: body.raw,
    // The first byte counts unused bits, which signatures have none of.
    signature: signature.content.subarray(1),
    algorithm: known.value,
  });
}

/** Whether a certificate's key has signed the list, by name and by signature. */
export function isRevocationListBy(list: RevocationList, issuer: X509Certificate): boolean {
  const { digest, keyType } = list.algorithm;
  const { publicKey } = issuer;
  return publicKey.asymmetricKeyType === keyType && verify(digest, list.signedBytes, publicKey, list.signature);
}

/** A serial number as it stands in {@link RevocationList.revokedSerials}. */
export function serialKey(serialNumber: Uint8Array): string {
  return Buffer.from(serialNumber).toString('hex');
}

/** @param entries Absent when nothing is revoked. */
function decodeRevokedSerials(entries: DerElement | undefined): Result<ReadonlySet<string>> {
  const serials = new Set<string>();
  const elements = entries === undefined ? ok([]) : readDerElements(entries.content);
  if (!elements.ok) return elements;
  for (const entry of elements.value) {
    const parts = readDerElements(entry.content);
    if (!parts.ok) return parts;
    const serial = parts.value[0];
    if (serial?.tag !== DER_TAG.integer) return err('an entry of the list has no serial number');
    serials.add(serialKey(serial.content));
  }
  return ok(serials);
}

function decodeAlgorithm(algorithm: DerElement): Result<SignatureAlgorithm> {
  const parts = readDerChildren(algorithm.raw, DER_TAG.sequence);
  if (!parts.ok) return parts;
  const oid = parts.value[0];
  if (oid?.tag !== DER_TAG.objectIdentifier) return err('the list has no signature algorithm');
  const name = formatObjectIdentifier(oid.content);
  const known = findSignatureAlgorithm(name);
  return known === undefined ? err(`signature algorithm ${name} is not accepted`) : ok(known);
}

/** Critical extensions make a list a part of one (a delta, or one reason only), which does not say what is valid. */
function decodeExtensionNames(field: DerElement | undefined): Result<ReadonlySet<string>> {
  const names = new Set<string>();
  if (field === undefined) return ok(names);
  const extensions = readDerChildren(field.content, DER_TAG.sequence);
  if (!extensions.ok) return extensions;
  for (const extension of extensions.value) {
    const parts = readDerElements(extension.content);
    if (!parts.ok) return parts;
    const [oid, critical] = parts.value;
    if (oid?.tag !== DER_TAG.objectIdentifier) return err('the list has a malformed extension');
    const name = formatObjectIdentifier(oid.content);
    if (critical?.tag === DER_TAG.boolean && critical.content[0] !== 0)
      return err(`critical extension ${name} is not known; only complete lists are taken`);
    names.add(name);
  }
  return ok(names);
}

/** UTCTime or GeneralizedTime; `undefined` for anything else, such as the entries that follow an absent `nextUpdate`. */
function parseTime({ tag, content }: DerElement): number | undefined {
  if (tag !== DER_TAG.utcTime && tag !== DER_TAG.generalizedTime) return undefined;
  const match = TIME.exec(Buffer.from(content).toString('latin1'));
  if (match === null) return undefined;
  const [year = 0, month = 0, ...rest] = match.slice(1).map(Number);
  const [day, hour, minute, second] = rest;
  // RFC 5280 4.1.2.5.1: two digits below 50 are of this century.
  const fullYear = tag === DER_TAG.generalizedTime ? year : year < 50 ? 2000 + year : 1900 + year;
  return Date.UTC(fullYear, month - 1, day, hour, minute, second);
}
