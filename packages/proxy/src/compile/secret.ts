import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, rootCertificates } from 'node:tls';
import { messageOf, sha256Hex } from '@meltemi/base';
import type { DataSource } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import {
  type CertificateValidationContext,
  CertificateValidationContext_TrustChainVerification,
  type SubjectAltNameMatcher,
  SubjectAltNameMatcher_SanType,
  type TlsCertificate,
} from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type { Secret } from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { RuntimeSanMatcher } from '../config/matchers.ts';
import type { RuntimeCertificateSecret, RuntimeSecret, RuntimeTrustSecret } from '../config/tls.ts';
import { at, CompileError, required } from './compile-error.ts';
import { compileStringMatcher } from './matchers.ts';

const REVOCATION_BLOCK = /-----BEGIN X509 CRL-----[\s\S]+?-----END X509 CRL-----/g;
const CERTIFICATE_BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

function readText(source: DataSource | undefined, field: string): string {
  const specifier = source?.specifier;
  switch (specifier?.case) {
    case 'inlineString':
      return specifier.value;
    case 'inlineBytes':
      return Buffer.from(specifier.value).toString('utf8');
    case 'filename':
      try {
        return readFileSync(specifier.value, 'utf8');
      } catch (error) {
        throw new CompileError(`${field}: cannot read ${specifier.value}: ${messageOf(error)}`);
      }
    case 'environmentVariable':
      throw new CompileError(`${field}: environment variables are not supported as a source of secrets`);
    default:
      throw new CompileError(`${field} is required`);
  }
}

/** The text of a data source that is allowed to be absent. */
export function readOptionalText(source: DataSource | undefined, field: string): string | undefined {
  return source?.specifier.case === undefined ? undefined : readText(source, field);
}

const SAN_TYPES: Readonly<Partial<Record<SubjectAltNameMatcher_SanType, RuntimeSanMatcher['type']>>> = {
  [SubjectAltNameMatcher_SanType.DNS]: 'dns',
  [SubjectAltNameMatcher_SanType.EMAIL]: 'email',
  [SubjectAltNameMatcher_SanType.IP_ADDRESS]: 'ip',
  [SubjectAltNameMatcher_SanType.URI]: 'uri',
};

function compileTypedSan(matcher: SubjectAltNameMatcher): RuntimeSanMatcher {
  const type = SAN_TYPES[matcher.sanType];
  if (type === undefined) {
    throw new CompileError(
      `san_type ${SubjectAltNameMatcher_SanType[matcher.sanType] ?? matcher.sanType} is not supported`,
    );
  }
  return { type, matcher: compileStringMatcher(matcher.matcher) };
}

/** The subject alternative names that a validation context asks for. */
export function compileSanMatchers(context: CertificateValidationContext): RuntimeSanMatcher[] {
  return [
    ...context.matchTypedSubjectAltNames.map(compileTypedSan),
    ...context.matchSubjectAltNames.map(
      (matcher): RuntimeSanMatcher => ({ type: 'any', matcher: compileStringMatcher(matcher) }),
    ),
  ];
}

/** Refuses what would be a weaker check if it were left out. */
export function refuseUnsupportedChecks(context: CertificateValidationContext): void {
  const unsupported: [boolean, string][] = [
    [context.verifyCertificateSpki.length > 0, 'verify_certificate_spki'],
    [context.verifyCertificateHash.length > 0, 'verify_certificate_hash'],
    [context.customValidatorConfig !== undefined, 'custom_validator_config'],
    [context.requireSignedCertificateTimestamp === true, 'require_signed_certificate_timestamp'],
    [context.maxVerifyDepth !== undefined, 'max_verify_depth'],
    [context.caCertificateProviderInstance !== undefined, 'ca_certificate_provider_instance'],
    [
      context.trustChainVerification === CertificateValidationContext_TrustChainVerification.ACCEPT_UNTRUSTED,
      'trust_chain_verification: ACCEPT_UNTRUSTED',
    ],
  ];
  const found = unsupported.find(([isPresent]) => isPresent);
  if (found !== undefined) throw new CompileError(`${found[1]} is not supported`);
}

function readTrustedCa(context: CertificateValidationContext): string {
  const isSystem = context.trustedCa === undefined && context.systemRootCerts !== undefined;
  if (isSystem) return rootCertificates.join('\n');
  const pem = readText(context.trustedCa, 'trusted_ca');
  const blocks = pem.match(CERTIFICATE_BLOCK) ?? [];
  if (blocks.length === 0) throw new CompileError('trusted_ca holds no certificate');
  for (const block of blocks) {
    try {
      new X509Certificate(block);
    } catch (error) {
      throw new CompileError(`trusted_ca holds an unreadable certificate: ${messageOf(error)}`);
    }
  }
  return pem;
}

/** Splits lists, since TLS takes one list per text, and would pass over all but the first; refuses what it would not take. */
function readRevocationLists(context: CertificateValidationContext): readonly string[] {
  const pem = readOptionalText(context.crl, 'crl');
  if (pem === undefined) return [];
  const lists = pem.match(REVOCATION_BLOCK) ?? [];
  if (lists.length === 0) throw new CompileError('crl holds no revocation list');
  try {
    createSecureContext({ crl: lists });
  } catch (error) {
    throw new CompileError(`crl holds an unreadable revocation list: ${messageOf(error)}`);
  }
  return lists;
}

/** A pair that TLS would not take must not replace one that works. */
function refuseUnusablePair({ certificateChainPem, privateKeyPem }: RuntimeCertificateSecret): void {
  try {
    createSecureContext({ cert: certificateChainPem, key: privateKeyPem });
  } catch (error) {
    throw new CompileError(`certificate and key cannot be used: ${messageOf(error)}`);
  }
}

/** Compiles what is trusted. SAN matchers are part of the secret only when it came by SDS. */
export function compileTrust(
  context: CertificateValidationContext,
  name: string,
  withSans: boolean,
): RuntimeTrustSecret {
  refuseUnsupportedChecks(context);
  return {
    kind: 'trust',
    name,
    trustedCaPem: readTrustedCa(context),
    crlPems: readRevocationLists(context),
    sanMatchers: withSans ? compileSanMatchers(context) : [],
  };
}

/** Compiles a certificate with its key. */
export function compileCertificate(certificate: TlsCertificate, name: string): RuntimeCertificateSecret {
  if (certificate.privateKeyProvider !== undefined) throw new CompileError('private_key_provider is not supported');
  if (certificate.pkcs12 !== undefined) throw new CompileError('pkcs12 is not supported');
  if (certificate.password !== undefined) throw new CompileError('password is not supported');
  const secret: RuntimeCertificateSecret = {
    kind: 'certificate',
    name,
    certificateChainPem: readText(certificate.certificateChain, 'certificate_chain'),
    privateKeyPem: readText(certificate.privateKey, 'private_key'),
  };
  refuseUnusablePair(secret);
  return secret;
}

/** Compiles a secret of SDS or of the bootstrap. */
export function compileSecret(secret: Secret): RuntimeSecret {
  const name = required(secret.name, 'name');
  switch (secret.type.case) {
    case 'tlsCertificate': {
      const certificate = secret.type.value;
      return at('tls_certificate', () => compileCertificate(certificate, name));
    }
    case 'validationContext': {
      const context = secret.type.value;
      return at('validation_context', () => compileTrust(context, name, true));
    }
    default:
      throw new CompileError(`secret type ${secret.type.case ?? '(none)'} is not supported`);
  }
}

/** Gives a secret that stands inside a listener or cluster a name made of its content, so that equal ones are shared. */
export function nameInline<Kind extends RuntimeSecret>(secret: Kind): Kind {
  const content =
    secret.kind === 'certificate'
      ? [secret.certificateChainPem, secret.privateKeyPem]
      : [secret.trustedCaPem, secret.crlPems];
  return { ...secret, name: `inline:${sha256Hex(JSON.stringify(content)).slice(0, 32)}` };
}
