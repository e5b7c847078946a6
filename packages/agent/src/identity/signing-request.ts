import { createPublicKey, type KeyObject, sign } from 'node:crypto';
import {
  derBitString,
  derInteger,
  derObjectIdentifier,
  derOctetString,
  derSequence,
  derSet,
  derTrue,
  encodeDer,
} from '@meltemi/base';

const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2';
const SHA256_WITH_RSA = '1.2.840.113549.1.1.11';
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';
const SUBJECT_ALT_NAME = '2.5.29.17';
const NULL = Uint8Array.of(5, 0);
const GENERAL_NAME_URI = 0x86;

/**
 * Builds a PKCS#10 signing request with an empty subject and one URI as its critical subject alternative name.
 *
 * The CA goes by the caller's token; the name is there for other CAs that check it (RFC 2986, RFC 5280 4.2.1.6).
 *
 * @param privateKey RSA, or EC P-256.
 */
export function buildSigningRequest(spiffeUri: string, privateKey: KeyObject): string {
  const altName = derSequence(encodeDer(GENERAL_NAME_URI, Buffer.from(spiffeUri)));
  const extension = derSequence(derObjectIdentifier(SUBJECT_ALT_NAME), derTrue(), derOctetString(altName));
  const attribute = derSequence(derObjectIdentifier(EXTENSION_REQUEST), derSet(derSequence(extension)));
  const publicKey = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  const info = derSequence(derInteger(Uint8Array.of(0)), derSequence(), publicKey, encodeDer(0xa0, attribute));
  const algorithm =
    privateKey.asymmetricKeyType === 'rsa'
      ? derSequence(derObjectIdentifier(SHA256_WITH_RSA), NULL)
      : derSequence(derObjectIdentifier(ECDSA_WITH_SHA256));
  const request = derSequence(info, algorithm, derBitString(sign('sha256', info, privateKey)));
  const lines =
    Buffer.from(request)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`;
}
