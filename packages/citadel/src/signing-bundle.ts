import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { err, messageOf, ok, type Result } from '@meltemi/base';
import { decodeCertificateFields } from './x509/certificate-fields.ts';
import { splitCertificates } from './x509/pem.ts';
import { signatureAlgorithmOf } from './x509/signature-algorithm.ts';

/** The four texts that make a signing CA, whatever files or Secret keys they come from. */
export interface SigningBundleFiles {
  readonly signingCertificatePem: string;
  readonly signingKeyPem: string;
  /** From the signing certificate upwards; empty for a self-signed CA. */
  readonly chainPem: string;
  /** One or more roots. */
  readonly rootPem: string;
}

/** A signing CA that passed every check. Immutable: rotation replaces it as a whole. */
export interface SigningBundle {
  readonly certificate: X509Certificate;
  readonly key: KeyObject;
  /** The signing certificate's subject, DER: the issuer of what it signs. */
  readonly subject: Uint8Array;
  readonly subjectKeyId: Uint8Array | undefined;
  /** PEM, one certificate an element, what a leaf is followed by. */
  readonly chain: readonly string[];
  /** The trust bundle, PEM. */
  readonly rootPem: string;
  /** Unix milliseconds at which the signing certificate or a member of its chain expires first. */
  readonly notAfterMs: number;
}

const MAX_CHAIN_LENGTH = 10;

/**
 * Checks a signing CA: it parses, is an authority, reaches the root through its chain, and its key fits.
 *
 * @returns The bundle, or the first thing that is wrong with it, naming the part.
 */
export function parseSigningBundle(files: SigningBundleFiles): Result<SigningBundle> {
  const signing = parseCertificates('signing certificate', files.signingCertificatePem);
  if (!signing.ok) return signing;
  const chain = parseCertificates('certificate chain', files.chainPem);
  if (!chain.ok) return chain;
  const roots = parseCertificates('root certificate', files.rootPem);
  if (!roots.ok) return roots;
  const certificate = signing.value[0];
  if (certificate === undefined) return err('the signing certificate file contains no certificate');
  if (roots.value.length === 0) return err('the root certificate file contains no certificate');
  if (!certificate.ca)
    return err('the signing certificate is not authorized to sign other certificates (CA is not true)');
  const key = parseKey(files.signingKeyPem, certificate);
  if (!key.ok) return key;
  const path = findPathToRoot(certificate, chain.value, roots.value);
  if (!path.ok) return path;
  const fields = decodeCertificateFields(certificate.raw);
  if (!fields.ok) return err(`the signing certificate cannot be read: ${fields.error}`);
  return ok({
    certificate,
    key: key.value,
    subject: fields.value.subject,
    subjectKeyId: fields.value.subjectKeyId,
    chain: splitCertificates(files.chainPem),
    rootPem: splitCertificates(files.rootPem).join(''),
    notAfterMs: Math.min(...[certificate, ...chain.value].map(({ validTo }) => Date.parse(validTo))),
  });
}

/** The SHA-256 fingerprints of a bundle's certificates: two bundles are equal when these sets are. */
export function fingerprintsOf(pem: string): ReadonlySet<string> {
  return new Set(splitCertificates(pem).map((certificate) => new X509Certificate(certificate).fingerprint256));
}

/** Every authority that a certificate of this CA is verified through, each once: the signing one, its chain, the roots. */
export function issuersOf({ certificate, chain, rootPem }: SigningBundle): readonly X509Certificate[] {
  const all = [certificate, ...[...chain, ...splitCertificates(rootPem)].map((pem) => new X509Certificate(pem))];
  return [...new Map(all.map((issuer) => [issuer.fingerprint256, issuer])).values()];
}

/** Unix milliseconds at which the first of a bundle's certificates expires. */
export function firstExpiryOf(pem: string): number {
  return Math.min(...splitCertificates(pem).map((certificate) => Date.parse(new X509Certificate(certificate).validTo)));
}

function parseCertificates(what: string, pem: string): Result<readonly X509Certificate[]> {
  try {
    return ok(splitCertificates(pem).map((certificate) => new X509Certificate(certificate)));
  } catch (error) {
    return err(`the ${what} cannot be read: ${messageOf(error)}`);
  }
}

function parseKey(pem: string, certificate: X509Certificate): Result<KeyObject> {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    // OpenSSL's reason may quote the input, and the input is a private key.
    return err('the signing key cannot be read as PEM of an unencrypted private key');
  }
  if (signatureAlgorithmOf(key) === undefined) return err('the signing key is neither RSA nor EC P-256 nor EC P-384');
  return certificate.checkPrivateKey(key) ? ok(key) : err('the signing key does not match the signing certificate');
}

function findPathToRoot(
  signing: X509Certificate,
  chain: readonly X509Certificate[],
  roots: readonly X509Certificate[],
): Result<true> {
  const isIssuedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
    certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  let current = signing;
  for (let depth = 0; depth < MAX_CHAIN_LENGTH; depth++) {
    const certificate = current;
    const isRoot = roots.some((root) => root.fingerprint256 === certificate.fingerprint256);
    if (isRoot || roots.some((root) => isIssuedBy(certificate, root))) return ok(true);
    const issuer = chain.find(
      (candidate) => candidate.fingerprint256 !== certificate.fingerprint256 && isIssuedBy(certificate, candidate),
    );
    if (issuer === undefined) break;
    current = issuer;
  }
  return err('the signing certificate does not chain to the root certificate through the chain file');
}
