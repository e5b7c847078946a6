import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { DER_TAG, err, formatObjectIdentifier, messageOf, ok, type Result, readDerChildren } from '@meltemi/base/pure';
import { decodePem } from './pem.ts';
import { findSignatureAlgorithm } from './signature-algorithm.ts';

/** What the CA takes from a certificate signing request: the key, nothing else. */
export interface SigningRequest {
  readonly publicKey: KeyObject;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeyDer: Uint8Array;
}

/** A request is about 1 KiB with a large RSA key; more is refused before it is parsed. */
const MAX_BYTES = 64 * 1024;
const MIN_RSA_BITS = 2048;

/**
 * Reads a PKCS#10 request in PEM and checks that its sender holds the private key.
 *
 * @returns The public key, or what is wrong: not a request, a weak or unknown key, or a signature that does not verify.
 * @see RFC 2986 section 4
 */
export function parseSigningRequest(pem: string): Result<SigningRequest> {
  if (pem.length > MAX_BYTES) return err(`the request is larger than ${MAX_BYTES} bytes`);
  const der = decodePem('CERTIFICATE REQUEST', pem) ?? decodePem('NEW CERTIFICATE REQUEST', pem);
  if (der === undefined) return err('the request is not PEM with a CERTIFICATE REQUEST block');
  const outer = readDerChildren(der, DER_TAG.sequence);
  if (!outer.ok) return outer;
  const [info, algorithm, signature] = outer.value;
  if (
    outer.value.length !== 3 ||
    info === undefined ||
    algorithm === undefined ||
    signature?.tag !== DER_TAG.bitString
  ) {
    return err('the request does not consist of content, algorithm and signature');
  }
  const fields = readDerChildren(info.raw, DER_TAG.sequence);
  if (!fields.ok) return fields;
  const publicKeyDer = fields.value[2]?.raw;
  if (publicKeyDer === undefined) return err('the request has no public key');
  const publicKey = importPublicKey(publicKeyDer);
  if (!publicKey.ok) return publicKey;
  const verified = verifySignature(info.raw, algorithm.raw, signature.content.subarray(1), publicKey.value);
  return verified.ok ? ok({ publicKey: publicKey.value, publicKeyDer }) : verified;
}

function importPublicKey(der: Uint8Array): Result<KeyObject> {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' });
  } catch (error) {
    return err(`the public key cannot be read: ${messageOf(error)}`);
  }
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === 'rsa') {
    return modulusLength >= MIN_RSA_BITS
      ? ok(key)
      : err(`the RSA key has ${modulusLength} bits, at least ${MIN_RSA_BITS} are needed`);
  }
  if (key.asymmetricKeyType === 'ec' && (namedCurve === 'prime256v1' || namedCurve === 'secp384r1')) return ok(key);
  return err(`the key is ${namedCurve ?? key.asymmetricKeyType}; RSA, EC P-256 and EC P-384 are accepted`);
}

function verifySignature(
  content: Uint8Array,
  algorithmDer: Uint8Array,
  signature: Uint8Array,
  publicKey: KeyObject,
): Result<true> {
  const parts = readDerChildren(algorithmDer, DER_TAG.sequence);
  const oid = parts.ok ? parts.value[0] : undefined;
  if (oid === undefined) return err('the signature algorithm cannot be read');
  const algorithm = findSignatureAlgorithm(formatObjectIdentifier(oid.content));
  if (algorithm === undefined) return err(`signature algorithm ${formatObjectIdentifier(oid.content)} is not accepted`);
  if (algorithm.keyType !== publicKey.asymmetricKeyType) return err('the signature algorithm does not fit the key');
  return verify(algorithm.digest, content, publicKey, signature) ? ok(true) : err('its signature does not verify');
}
