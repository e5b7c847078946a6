import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { MeltemiError } from '@meltemi/base';
import { buildCertificate, subjectKeyIdOf } from './x509/certificate-builder.ts';
import { decodeCertificateFields } from './x509/certificate-fields.ts';
import { encodeDistinguishedName } from './x509/distinguished-name.ts';

/** A certificate authority as two PEM texts. */
export interface AuthorityPair {
  readonly certificatePem: string;
  /** PKCS#1 or SEC1, unencrypted. */
  readonly keyPem: string;
}

/** The kinds of keys that authorities are made with. */
export type AuthorityKeyType = 'rsa-2048' | 'rsa-4096' | 'ec-p256';

/** What a new authority is called, and how long it lives. */
export interface MintOptions {
  readonly organization: string;
  readonly commonName?: string;
  readonly lifetimeMs: number;
  readonly nowMs: number;
  /** @default 'ec-p256' */
  readonly keyType?: AuthorityKeyType;
}

/** The data of Secret `cacerts`: a plugged-in intermediate under a shared root. */
export type PluggedInCertificates = Readonly<
  Record<'ca-cert.pem' | 'ca-key.pem' | 'root-cert.pem' | 'cert-chain.pem', string>
>;

/** Makes a self-signed root, as for the walkthrough, for tests, and for a mesh that brings none. */
export function createRootCertificateAuthority(options: MintOptions): AuthorityPair {
  const { privateKey, publicKey } = generateAuthorityKey(options.keyType);
  const subject = encodeDistinguishedName(options);
  const publicKeyDer = publicKey.export({ format: 'der', type: 'spki' });
  const certificatePem = buildCertificate(
    {
      subject,
      issuer: subject,
      publicKey: publicKeyDer,
      notBeforeMs: options.nowMs - 120_000,
      notAfterMs: options.nowMs + options.lifetimeMs,
      usage: 'authority',
      authorityKeyId: subjectKeyIdOf(publicKeyDer),
    },
    privateKey,
  );
  return { certificatePem, keyPem: exportPrivateKey(privateKey) };
}

/**
 * Makes a root anew with the same key, name and length of life: what was signed by the old one verifies by the new one.
 *
 * @throws MeltemiError `CA_BUNDLE_INVALID` when the old one cannot be read.
 */
export function renewRootCertificateAuthority(root: AuthorityPair, nowMs: number): AuthorityPair {
  const old = new X509Certificate(root.certificatePem);
  const fields = decodeCertificateFields(old.raw);
  if (!fields.ok) throw new MeltemiError('CA_BUNDLE_INVALID', `Cannot read the root certificate: ${fields.error}`);
  const { subject, subjectKeyId } = fields.value;
  const certificatePem = buildCertificate(
    {
      subject,
      issuer: subject,
      publicKey: old.publicKey.export({ format: 'der', type: 'spki' }),
      notBeforeMs: nowMs - 120_000,
      notAfterMs: nowMs - 120_000 + (Date.parse(old.validTo) - Date.parse(old.validFrom)),
      usage: 'authority',
      ...(subjectKeyId === undefined ? {} : { authorityKeyId: subjectKeyId }),
    },
    createPrivateKey(root.keyPem),
  );
  return { certificatePem, keyPem: root.keyPem };
}

/**
 * Makes an intermediate under a root, in the form that Secret `cacerts` takes.
 *
 * The chain file is the intermediate followed by the root, as Istio's own tools write it.
 */
export function createIntermediate(root: AuthorityPair, options: MintOptions): PluggedInCertificates {
  const { privateKey, publicKey } = generateAuthorityKey(options.keyType);
  const issuer = new X509Certificate(root.certificatePem);
  const fields = decodeCertificateFields(issuer.raw);
  if (!fields.ok) throw new MeltemiError('CA_BUNDLE_INVALID', `Cannot read the root certificate: ${fields.error}`);
  const { subject, subjectKeyId } = fields.value;
  const certificatePem = buildCertificate(
    {
      subject: encodeDistinguishedName(options),
      issuer: subject,
      publicKey: publicKey.export({ format: 'der', type: 'spki' }),
      notBeforeMs: options.nowMs - 120_000,
      notAfterMs: Math.min(options.nowMs + options.lifetimeMs, Date.parse(issuer.validTo)),
      usage: 'authority',
      pathLength: 0,
      ...(subjectKeyId === undefined ? {} : { authorityKeyId: subjectKeyId }),
    },
    createPrivateKey(root.keyPem),
  );
  return {
    'ca-cert.pem': certificatePem,
    'ca-key.pem': exportPrivateKey(privateKey),
    'root-cert.pem': root.certificatePem,
    'cert-chain.pem': certificatePem + root.certificatePem,
  };
}

/** Writes a private key in the form of its family: PKCS#1 for RSA, SEC1 for EC. */
export function exportPrivateKey(key: KeyObject): string {
  return key.export({ format: 'pem', type: key.asymmetricKeyType === 'rsa' ? 'pkcs1' : 'sec1' }).toString();
}

/** A fresh key pair of the same family as an existing key: RSA 2048, else EC P-256. */
export function generateKeyLike(key: KeyObject): { readonly privateKey: KeyObject; readonly publicKey: KeyObject } {
  return generateAuthorityKey(key.asymmetricKeyType === 'rsa' ? 'rsa-2048' : 'ec-p256');
}

function generateAuthorityKey(keyType: AuthorityKeyType = 'ec-p256'): { privateKey: KeyObject; publicKey: KeyObject } {
  const { privateKey } =
    keyType === 'ec-p256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: keyType === 'rsa-4096' ? 4096 : 2048 });
  return { privateKey, publicKey: createPublicKey(privateKey) };
}
