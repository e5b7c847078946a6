import type { KeyObject } from 'node:crypto';
import { DER_TAG, derObjectIdentifier, derSequence, encodeDer } from '@meltemi/base/pure';
import { OID } from './object-identifiers.ts';

/** How a signature is made and named in a certificate. */
export interface SignatureAlgorithm {
  /** The digest by Node's name. */
  readonly digest: 'sha256' | 'sha384' | 'sha512';
  readonly keyType: 'rsa' | 'ec';
  /** The AlgorithmIdentifier, DER. */
  readonly identifier: Uint8Array;
}

function rsa(oid: string, digest: SignatureAlgorithm['digest']): SignatureAlgorithm {
  // RFC 8017 A.2.4: the parameters of the RSA signature algorithms are NULL, not absent.
  return { digest, keyType: 'rsa', identifier: derSequence(derObjectIdentifier(oid), encodeDer(DER_TAG.null)) };
}

function ecdsa(oid: string, digest: SignatureAlgorithm['digest']): SignatureAlgorithm {
  return { digest, keyType: 'ec', identifier: derSequence(derObjectIdentifier(oid)) };
}

const BY_OID: ReadonlyMap<string, SignatureAlgorithm> = new Map([
  [OID.sha256WithRsa, rsa(OID.sha256WithRsa, 'sha256')],
  [OID.sha384WithRsa, rsa(OID.sha384WithRsa, 'sha384')],
  [OID.sha512WithRsa, rsa(OID.sha512WithRsa, 'sha512')],
  [OID.ecdsaWithSha256, ecdsa(OID.ecdsaWithSha256, 'sha256')],
  [OID.ecdsaWithSha384, ecdsa(OID.ecdsaWithSha384, 'sha384')],
  [OID.ecdsaWithSha512, ecdsa(OID.ecdsaWithSha512, 'sha512')],
]);

/** The algorithm that an object identifier names, or `undefined` for one that the mesh does not accept (SHA-1, MD5, PSS…). */
export function findSignatureAlgorithm(oid: string): SignatureAlgorithm | undefined {
  return BY_OID.get(oid);
}

/**
 * The algorithm to sign with a key: SHA-256 for RSA and P-256, SHA-384 for P-384.
 *
 * @returns `undefined` for a key that is not RSA or EC on one of these curves.
 */
export function signatureAlgorithmOf(key: KeyObject): SignatureAlgorithm | undefined {
  if (key.asymmetricKeyType === 'rsa') return BY_OID.get(OID.sha256WithRsa);
  if (key.asymmetricKeyType !== 'ec') return undefined;
  const curve = key.asymmetricKeyDetails?.namedCurve;
  if (curve === 'prime256v1') return BY_OID.get(OID.ecdsaWithSha256);
  if (curve === 'secp384r1') return BY_OID.get(OID.ecdsaWithSha384);
  return undefined;
}
