import { ApiConfigSource_ApiType, ApiVersion } from '@meltemi/xds/types/envoy/config/core/v3/config_source_pb.js';
import type { SdsSecretConfigSchema } from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { SDS_CLUSTER } from './names.ts';
import { type Init, NO_DURATION } from './protobuf-values.ts';

/** The workload's own certificate, as the agent serves it. */
export const CERTIFICATE_SECRET = 'default';
/** The trust bundle, as the agent serves it. */
export const ROOT_SECRET = 'ROOTCA';

/** The name by which the agent reads a certificate and its key from files beside the proxy. */
export function fileCertificateSecret(certificate: string, privateKey: string): string {
  return `file-cert:${certificate}~${privateKey}`;
}

/** The name by which the agent reads roots from a file beside the proxy. */
export function fileRootSecret(caCertificates: string): string {
  return `file-root:${caCertificates}`;
}

/** The name by which the agent of a gateway reads a Secret of its own namespace. */
export function kubernetesSecret(name: string): string {
  return `kubernetes://${name}`;
}

/** The same for the roots that clients are checked against: of a Secret of their own, or of the certificate's. */
export function kubernetesRootSecret(name: string): string {
  return `${kubernetesSecret(name)}-cacert`;
}

/** Refers to a secret that the agent serves over SDS. */
export function sdsSecret(name: string): Init<typeof SdsSecretConfigSchema> {
  return {
    name,
    sdsConfig: {
      initialFetchTimeout: NO_DURATION,
      resourceApiVersion: ApiVersion.V3,
      configSourceSpecifier: {
        case: 'apiConfigSource',
        value: {
          apiType: ApiConfigSource_ApiType.GRPC,
          setNodeOnFirstMessageOnly: true,
          transportApiVersion: ApiVersion.V3,
          grpcServices: [{ targetSpecifier: { case: 'envoyGrpc', value: { clusterName: SDS_CLUSTER } } }],
        },
      },
    },
  };
}
