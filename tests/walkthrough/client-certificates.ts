/** Client certificates as the mesh's own authority, or a foreign one, would issue them. */
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type AuthorityPair,
  buildCertificate,
  encodeDistinguishedName,
  exportPrivateKey,
  subjectKeyIdOf,
  toSubjectAltName,
} from '@meltemi/citadel/minting';

const HOUR_MS = 3_600_000;

/** What to issue, and where to write it. */
export interface ClientCertificateRequest {
  readonly directory: string;
  /** How the files are called. */
  readonly name: string;
  readonly authority: AuthorityPair;
  readonly spiffeId: string;
}

/** Issues a certificate for one hour and returns the arguments with which `openssl s_client` presents it. */
export function issueClientCertificate({
  directory,
  name,
  authority,
  spiffeId,
}: ClientCertificateRequest): readonly string[] {
  const nowMs = Date.now();
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuer = new X509Certificate(authority.certificatePem);
  const organization = /O=(.*)/.exec(issuer.subject)?.[1] ?? '';
  const commonName = /CN=(.*)/.exec(issuer.subject)?.[1];
  const leaf = buildCertificate(
    {
      subject: encodeDistinguishedName({ organization }),
      issuer: encodeDistinguishedName({ organization, ...(commonName === undefined ? {} : { commonName }) }),
      publicKey: publicKey.export({ format: 'der', type: 'spki' }),
      notBeforeMs: nowMs - 60_000,
      notAfterMs: nowMs + HOUR_MS,
      usage: 'workload',
      authorityKeyId: subjectKeyIdOf(issuer.publicKey.export({ format: 'der', type: 'spki' })),
      subjectAltNames: [toSubjectAltName(spiffeId)],
    },
    createPrivateKey(authority.keyPem),
  );
  const pathOf = (ending: string): string => join(directory, `${name}.${ending}`);
  writeFileSync(pathOf('pem'), leaf);
  writeFileSync(pathOf('key'), exportPrivateKey(privateKey), { mode: 0o600 });
  writeFileSync(pathOf('chain'), authority.certificatePem);
  return ['-cert', pathOf('pem'), '-key', pathOf('key'), '-cert_chain', pathOf('chain')];
}

/** The signing pair in the data of Secret `cacerts`. */
export function readSigningPair(data: Readonly<Record<string, string>> | undefined): AuthorityPair {
  const textOf = (key: string): string => Buffer.from(data?.[key] ?? '', 'base64').toString();
  return { certificatePem: textOf('ca-cert.pem'), keyPem: textOf('ca-key.pem') };
}
