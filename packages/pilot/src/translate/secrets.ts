import { ApiConfigSource_ApiType, ApiVersion } from '@meltemi/xds/types/envoy/config/core/v3/config_source_pb.js';
import type { SdsSecretConfigSchema } from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { SDS_CLUSTER } from './names.ts';
import { type Init, NO_DURATION } from './protobuf-values.ts';

/** The workload's own certificate, as the agent serves it. */
export const CERTIFICATE_SECRET = 'default';
/** The trust bundle, as the agent serves it. */
export const ROOT_SECRET = 'ROOTCA';

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
