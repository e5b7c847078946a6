import { X509Certificate as X509, type X509Certificate } from 'node:crypto';
import { parseSubjectAltNames, type SubjectAltNames } from './subject-alt-names.ts';

/** What is kept of a certificate for headers, logs and policy. Read once per connection. */
export interface CertificateFacts {
  readonly names: SubjectAltNames;
  /** First URI name; empty when there is none. */
  readonly uri: string;
  /** RFC 2253 order, as Envoy prints it. */
  readonly subject: string;
  readonly issuer: string;
  readonly serialNumber: string;
  /** SHA-256 of the DER, lower-case hexadecimal. */
  readonly sha256: string;
  readonly pem: string;
}

/** Node prints one attribute a line in certificate order; RFC 2253 wants them reversed and joined by commas. */
function toRfc2253(text: string): string {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .reverse()
    .join(',');
}

/** Reads a certificate; undefined when its names cannot be read with certainty. */
export function readCertificate(certificate: X509Certificate): CertificateFacts | undefined {
  const names = parseSubjectAltNames(certificate.subjectAltName);
  if (names === undefined) return undefined;
  return {
    names,
    uri: names.uri[0] ?? '',
    get subject() {
      return toRfc2253(certificate.subject ?? '');
    },
    get issuer() {
      return toRfc2253(certificate.issuer ?? '');
    },
    get serialNumber() {
      return certificate.serialNumber.toLowerCase();
    },
    get sha256() {
      return certificate.fingerprint256.replaceAll(':', '').toLowerCase();
    },
    get pem() {
      return certificate.toString();
    },
  };
}

/** The first URI name of a PEM chain's leaf: who we say we are. Empty when there is none. */
export function ownUri(chainPem: string): string {
  return parseSubjectAltNames(new X509(chainPem).subjectAltName)?.uri[0] ?? '';
}
