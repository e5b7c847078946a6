import type { MeshConfig, ServerTLSSettings } from '@meltemi/api';
import type { TransportSocketSchema } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import {
  SubjectAltNameMatcher_SanType,
  TlsParameters_TlsProtocol,
} from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { DownstreamTlsContextSchema } from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { type Init, namedExtension } from '../protobuf-values.ts';
import {
  CERTIFICATE_SECRET,
  fileCertificateSecret,
  fileRootSecret,
  kubernetesRootSecret,
  kubernetesSecret,
  ROOT_SECRET,
  sdsSecret,
} from '../secrets.ts';

const CIPHER_SUITES = [
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'AES256-GCM-SHA384',
  'AES128-GCM-SHA256',
];
const HTTP_ALPN = ['h2', 'http/1.1'];
const TCP_ALPN = ['istio-peer-exchange', 'h2', 'http/1.1'];

/** The transport socket that ends mesh mTLS: a client certificate of this mesh is required. */
export function buildMeshServerTls(meshConfig: MeshConfig, kind: 'http' | 'tcp'): Init<typeof TransportSocketSchema> {
  const isTls13Only = meshConfig.meshMTLS.minProtocolVersion === 'TLSV1_3';
  const trustDomains = [meshConfig.trustDomain, ...meshConfig.trustDomainAliases];
  const { name, typedConfig } = namedExtension('envoy.transport_sockets.tls', DownstreamTlsContextSchema, {
    requireClientCertificate: true,
    commonTlsContext: {
      alpnProtocols: kind === 'http' ? HTTP_ALPN : TCP_ALPN,
      tlsParams: {
        tlsMinimumProtocolVersion: isTls13Only ? TlsParameters_TlsProtocol.TLSv1_3 : TlsParameters_TlsProtocol.TLSv1_2,
        tlsMaximumProtocolVersion: TlsParameters_TlsProtocol.TLSv1_3,
        cipherSuites: CIPHER_SUITES,
      },
      tlsCertificateSdsSecretConfigs: [sdsSecret(CERTIFICATE_SECRET)],
      validationContextType: {
        case: 'combinedValidationContext',
        value: {
          defaultValidationContext: {
            matchTypedSubjectAltNames: trustDomains.map((trustDomain) => ({
              sanType: SubjectAltNameMatcher_SanType.URI,
              matcher: { matchPattern: { case: 'prefix' as const, value: `spiffe://${trustDomain}/` } },
            })),
          },
          validationContextSdsSecretConfig: sdsSecret(ROOT_SECRET),
        },
      },
    },
  });
  return { name, configType: { case: 'typedConfig', value: typedConfig } };
}

const VERSIONS = {
  TLS_AUTO: undefined,
  TLSV1_0: TlsParameters_TlsProtocol.TLSv1_0,
  TLSV1_1: TlsParameters_TlsProtocol.TLSv1_1,
  TLSV1_2: TlsParameters_TlsProtocol.TLSv1_2,
  TLSV1_3: TlsParameters_TlsProtocol.TLSv1_3,
} as const;

/**
 * The transport socket of a Gateway's server with certificates of its own: in files beside the proxy, or in Secrets.
 *
 * @returns `undefined` for servers that name no certificate.
 */
export function buildGatewayServerTls(tls: ServerTLSSettings): Init<typeof TransportSocketSchema> | undefined {
  const certificates = certificateNames(tls);
  if (certificates.length === 0) return undefined;
  const { mode, minProtocolVersion, maxProtocolVersion } = tls;
  const maximum = VERSIONS[maxProtocolVersion ?? 'TLS_AUTO'];
  const roots = mode === 'SIMPLE' ? undefined : rootsName(tls);
  const { name, typedConfig } = namedExtension('envoy.transport_sockets.tls', DownstreamTlsContextSchema, {
    requireClientCertificate: mode === 'MUTUAL',
    commonTlsContext: {
      alpnProtocols: HTTP_ALPN,
      tlsParams: {
        tlsMinimumProtocolVersion: VERSIONS[minProtocolVersion ?? 'TLS_AUTO'] ?? TlsParameters_TlsProtocol.TLSv1_2,
        ...(maximum === undefined ? {} : { tlsMaximumProtocolVersion: maximum }),
        cipherSuites: [...new Set(tls.cipherSuites ?? [])],
      },
      tlsCertificateSdsSecretConfigs: certificates.map(sdsSecret),
      ...(roots === undefined ? {} : clientValidation(roots, tls)),
    },
  });
  return { name, configType: { case: 'typedConfig', value: typedConfig } };
}

function certificateNames(tls: ServerTLSSettings): readonly string[] {
  const { credentialName, credentialNames = [], tlsCertificates = [] } = tls;
  if (credentialName !== undefined) return [kubernetesSecret(credentialName)];
  if (credentialNames.length > 0) return credentialNames.map(kubernetesSecret);
  const files = tlsCertificates.length > 0 ? tlsCertificates : [tls];
  return files.flatMap(({ serverCertificate, privateKey }) =>
    serverCertificate === undefined || privateKey === undefined
      ? []
      : [fileCertificateSecret(serverCertificate, privateKey)],
  );
}

function rootsName(tls: ServerTLSSettings): string | undefined {
  const credential = tls.caCertCredentialName ?? tls.credentialName ?? tls.credentialNames?.[0];
  if (credential !== undefined) return kubernetesRootSecret(credential);
  const file = tls.caCertificates ?? tls.tlsCertificates?.[0]?.caCertificates;
  return file === undefined ? undefined : fileRootSecret(file);
}

/** Client certificates are checked against roots of the server's own, and by name where names are given. */
function clientValidation(
  roots: string,
  { subjectAltNames = [] }: ServerTLSSettings,
): Pick<NonNullable<Init<typeof DownstreamTlsContextSchema>['commonTlsContext']>, 'validationContextType'> {
  return {
    validationContextType: {
      case: 'combinedValidationContext',
      value: {
        defaultValidationContext: {
          matchTypedSubjectAltNames: [SubjectAltNameMatcher_SanType.DNS, SubjectAltNameMatcher_SanType.URI].flatMap(
            (sanType) =>
              subjectAltNames.map((value) => ({
                sanType,
                matcher: { matchPattern: { case: 'exact' as const, value } },
              })),
          ),
        },
        validationContextSdsSecretConfig: sdsSecret(roots),
      },
    },
  };
}
