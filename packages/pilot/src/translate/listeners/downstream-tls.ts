import type { MeshConfig } from '@meltemi/api';
import type { TransportSocketSchema } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import {
  SubjectAltNameMatcher_SanType,
  TlsParameters_TlsProtocol,
} from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { DownstreamTlsContextSchema } from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { type Init, namedExtension } from '../protobuf-values.ts';
import { CERTIFICATE_SECRET, ROOT_SECRET, sdsSecret } from '../secrets.ts';

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
