import { createHash, type KeyObject, randomBytes, sign } from 'node:crypto';
import {
  DER_TAG,
  derBitString,
  derInteger,
  derObjectIdentifier,
  derOctetString,
  derSequence,
  derTime,
  derTrue,
  encodeDer,
  MeltemiError,
  readDerChildren,
} from '@meltemi/base/pure';
import { OID } from './object-identifiers.ts';
import { encodePem } from './pem.ts';
import { signatureAlgorithmOf } from './signature-algorithm.ts';
import { encodeSubjectAltNames, type SubjectAltName } from './subject-alt-name.ts';

/** What a new certificate says. Names are DER, so that an issuer's name is copied byte by byte. */
export interface CertificateTemplate {
  readonly subject: Uint8Array;
  readonly issuer: Uint8Array;
  /** The subject's SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly usage: 'workload' | 'authority';
  readonly subjectAltNames?: readonly SubjectAltName[];
  /** The issuer's subject key identifier; absent when the issuer has none. */
  readonly authorityKeyId?: Uint8Array;
  /** How many authorities may follow below this one; authorities only, default no limit. */
  readonly pathLength?: number;
}

/** KeyUsage bits: digitalSignature + keyEncipherment, and keyCertSign + cRLSign (RFC 5280 4.2.1.3). */
const WORKLOAD_KEY_USAGE = derBitString(Uint8Array.of(0xa0), 5);
const AUTHORITY_KEY_USAGE = derBitString(Uint8Array.of(0x06), 1);

/**
 * Builds and signs an X.509 v3 certificate with a random 128-bit serial number.
 *
 * Built on our own DER writer: the profile is fixed and small, and `@peculiar/x509` needs a global reflection polyfill.
 *
 * @returns The certificate in PEM.
 * @throws MeltemiError `CERT_GEN_ERROR` when the key is of a kind that the mesh does not sign with.
 */
export function buildCertificate(template: CertificateTemplate, signingKey: KeyObject): string {
  const algorithm = signatureAlgorithmOf(signingKey);
  if (algorithm === undefined) {
    throw new MeltemiError(
      'CERT_GEN_ERROR',
      `Cannot sign a certificate: the signing key is ${signingKey.asymmetricKeyType}; use RSA, EC P-256 or EC P-384`,
    );
  }
  const body = derSequence(
    encodeDer(0xa0, derInteger(Uint8Array.of(2))),
    derInteger(randomSerial()),
    algorithm.identifier,
    template.issuer,
    derSequence(derTime(template.notBeforeMs), derTime(template.notAfterMs)),
    template.subject,
    template.publicKey,
    encodeDer(0xa3, derSequence(...buildExtensions(template))),
  );
  const signature = sign(algorithm.digest, body, signingKey);
  return encodePem('CERTIFICATE', derSequence(body, algorithm.identifier, derBitString(signature)));
}

/** The subject key identifier of a public key: the SHA-1 of its bits (RFC 5280 4.2.1.2, method 1). */
export function subjectKeyIdOf(publicKey: Uint8Array): Uint8Array {
  const parts = readDerChildren(publicKey, DER_TAG.sequence);
  const bits = parts.ok ? parts.value[1]?.content.subarray(1) : undefined;
  return createHash('sha1')
    .update(bits ?? publicKey)
    .digest();
}

/** 128 random bits; the first byte is never zero, so that the number has its full length, and the top bit may be set. */
function randomSerial(): Uint8Array {
  const serial = randomBytes(16);
  if (serial[0] === 0) serial[0] = 1;
  return serial;
}

function buildExtensions(template: CertificateTemplate): Uint8Array[] {
  const isAuthority = template.usage === 'authority';
  const extensions = [extension(OID.keyUsage, true, isAuthority ? AUTHORITY_KEY_USAGE : WORKLOAD_KEY_USAGE)];
  if (!isAuthority) {
    const purposes = derSequence(derObjectIdentifier(OID.serverAuth), derObjectIdentifier(OID.clientAuth));
    extensions.push(extension(OID.extendedKeyUsage, false, purposes));
  }
  extensions.push(extension(OID.basicConstraints, true, basicConstraints(template)));
  if (isAuthority) {
    extensions.push(extension(OID.subjectKeyIdentifier, false, derOctetString(subjectKeyIdOf(template.publicKey))));
  }
  if (template.authorityKeyId !== undefined) {
    const keyId = derSequence(encodeDer(0x80, template.authorityKeyId));
    extensions.push(extension(OID.authorityKeyIdentifier, false, keyId));
  }
  if (template.subjectAltNames !== undefined) {
    extensions.push(extension(OID.subjectAltName, true, encodeSubjectAltNames(template.subjectAltNames)));
  }
  return extensions;
}

function basicConstraints({ usage, pathLength }: CertificateTemplate): Uint8Array {
  if (usage === 'workload') return derSequence();
  return pathLength === undefined
    ? derSequence(derTrue())
    : derSequence(derTrue(), derInteger(Uint8Array.of(pathLength)));
}

function extension(oid: string, isCritical: boolean, value: Uint8Array): Uint8Array {
  const parts = isCritical ? [derTrue(), derOctetString(value)] : [derOctetString(value)];
  return derSequence(derObjectIdentifier(oid), ...parts);
}
