import {
  type CertificateValidationContext,
  TlsParameters_TlsProtocol,
} from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type { SdsSecretConfig } from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import {
  type CommonTlsContext,
  type DownstreamTlsContext,
  type UpstreamTlsContext,
} from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import type {
  RuntimeDownstreamTls,
  RuntimeSecret,
  RuntimeTlsVersion,
  RuntimeUpstreamTls,
  RuntimeValidation,
} from '../config/tls.ts';
import { at, CompileError } from './compile-error.ts';
import { compileReference, type ResourceReference } from './config-source.ts';
import { compileCertificate, compileSanMatchers, compileTrust, nameInline, refuseUnsupportedChecks } from './secret.ts';

/** Collects the secrets that a listener or cluster uses, while its TLS contexts are compiled. */
export interface SecretCollector {
  /** Secrets to be fetched. */
  readonly references: ResourceReference[];
  /** Secrets that stand in the resource itself. */
  readonly inline: RuntimeSecret[];
}

/** An empty collection. */
export function createSecretCollector(): SecretCollector {
  return { references: [], inline: [] };
}

function referTo(config: SdsSecretConfig, secrets: SecretCollector): string {
  // Without a config source the name is that of a static secret of the bootstrap, which is always there.
  if (config.sdsConfig !== undefined) secrets.references.push(compileReference(config.name, config.sdsConfig));
  return config.name;
}

function addInline(secret: RuntimeSecret, secrets: SecretCollector): string {
  const named = nameInline(secret);
  secrets.inline.push(named);
  return named.name;
}

function compileInlineValidation(
  context: CertificateValidationContext,
  secrets: SecretCollector,
): RuntimeValidation | undefined {
  if (context.trustedCa === undefined && context.systemRootCerts === undefined) {
    refuseUnsupportedChecks(context);
    if (context.matchTypedSubjectAltNames.length > 0 || context.matchSubjectAltNames.length > 0) {
      throw new CompileError(
        'SAN-based verification of peer certificates without trusted CA is insecure and not allowed',
      );
    }
    return undefined;
  }
  return {
    secretName: addInline(compileTrust(context, '', false), secrets),
    sanMatchers: compileSanMatchers(context),
  };
}

function compileValidation(common: CommonTlsContext, secrets: SecretCollector): RuntimeValidation | undefined {
  const type = common.validationContextType;
  switch (type.case) {
    case undefined:
      return undefined;
    case 'validationContext': {
      const context = type.value;
      return at('validation_context', () => compileInlineValidation(context, secrets));
    }
    case 'validationContextSdsSecretConfig':
      return { secretName: referTo(type.value, secrets), sanMatchers: [] };
    case 'combinedValidationContext': {
      const { defaultValidationContext: context, validationContextSdsSecretConfig: sds } = type.value;
      if (sds === undefined)
        throw new CompileError('combined_validation_context needs validation_context_sds_secret_config');
      return {
        secretName: referTo(sds, secrets),
        sanMatchers: context === undefined ? [] : at('default_validation_context', () => compileSanMatchers(context)),
      };
    }
    default:
      throw new CompileError('certificate providers are not supported');
  }
}

const TLS_VERSIONS: Readonly<Partial<Record<TlsParameters_TlsProtocol, RuntimeTlsVersion>>> = {
  // Node has no TLS below 1.2 by default; a lower minimum therefore means 1.2.
  [TlsParameters_TlsProtocol.TLSv1_0]: 'TLSv1.2',
  [TlsParameters_TlsProtocol.TLSv1_1]: 'TLSv1.2',
  [TlsParameters_TlsProtocol.TLSv1_2]: 'TLSv1.2',
  [TlsParameters_TlsProtocol.TLSv1_3]: 'TLSv1.3',
};

function compileCommon(
  common: CommonTlsContext | undefined,
  secrets: SecretCollector,
): Omit<RuntimeDownstreamTls, 'requireClientCertificate'> {
  if (common === undefined) {
    return {
      certificateSecretNames: [],
      validation: undefined,
      alpn: [],
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.3',
      ciphers: [],
    };
  }
  if (common.customHandshaker !== undefined) throw new CompileError('custom_handshaker is not supported');
  const parameters = common.tlsParams;
  return {
    certificateSecretNames: [
      ...common.tlsCertificates.map((certificate, index) =>
        at(`tls_certificates[${index}]`, () => addInline(compileCertificate(certificate, ''), secrets)),
      ),
      ...common.tlsCertificateSdsSecretConfigs.map((config) => referTo(config, secrets)),
    ],
    validation: compileValidation(common, secrets),
    alpn: common.alpnProtocols,
    minVersion: TLS_VERSIONS[parameters?.tlsMinimumProtocolVersion ?? 0] ?? 'TLSv1.2',
    maxVersion: TLS_VERSIONS[parameters?.tlsMaximumProtocolVersion ?? 0] ?? 'TLSv1.3',
    ciphers: (parameters?.cipherSuites ?? []).flatMap((suite) =>
      suite.startsWith('[') ? suite.slice(1, -1).split('|') : [suite],
    ),
  };
}

/** Compiles the TLS of a filter chain. */
export function compileDownstreamTls(context: DownstreamTlsContext, secrets: SecretCollector): RuntimeDownstreamTls {
  const common = at('common_tls_context', () => compileCommon(context.commonTlsContext, secrets));
  if (common.certificateSecretNames.length === 0)
    throw new CompileError('no TLS certificates found for server context');
  if (context.requireSni === true) throw new CompileError('require_sni is not supported');
  const requireClientCertificate = context.requireClientCertificate ?? false;
  if (requireClientCertificate && common.validation === undefined) {
    throw new CompileError('require_client_certificate without a validation context would accept any certificate');
  }
  return { ...common, requireClientCertificate };
}

/** What the HTTP options of a cluster add to its TLS. */
export interface UpstreamTlsHttpOptions {
  readonly autoSni: boolean;
  readonly autoSanValidation: boolean;
}

/** Compiles the TLS towards hosts. */
export function compileUpstreamTls(
  context: UpstreamTlsContext,
  secrets: SecretCollector,
  http: UpstreamTlsHttpOptions,
): RuntimeUpstreamTls {
  const common = at('common_tls_context', () => compileCommon(context.commonTlsContext, secrets));
  if (context.allowRenegotiation) throw new CompileError('allow_renegotiation is not supported');
  return {
    ...common,
    sni: context.sni === '' ? undefined : context.sni,
    // The field that would set it is newer than the API version in use.
    autoHostSni: false,
    autoSni: http.autoSni,
    autoSanValidation: http.autoSanValidation && common.validation !== undefined,
    maxSessionKeys: context.maxSessionKeys ?? 1,
  };
}
