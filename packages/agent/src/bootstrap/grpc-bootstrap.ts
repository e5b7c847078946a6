import { join } from 'node:path';
import { CERTIFICATE_FILES } from '../identity/certificate-files.ts';
import type { BootstrapNode } from './node.ts';

/** What {@link buildGrpcBootstrap} works with. */
export interface GrpcBootstrapInput {
  readonly node: BootstrapNode;
  readonly adsSocketPath: string;
  /** Where the certificate is written; absent, applications have no certificates. */
  readonly certificateDirectory: string | undefined;
}

const REFRESH_INTERVAL = '900s';

/**
 * The bootstrap of gRPC libraries that speak xDS, `GRPC_XDS_BOOTSTRAP`.
 *
 * @see gRFC A27 (xds_servers, node), A29 (certificate_providers), A36 (server_listener_resource_name_template)
 */
export function buildGrpcBootstrap({ node, adsSocketPath, certificateDirectory }: GrpcBootstrapInput): object {
  const { id, locality = {}, metadata } = node;
  return {
    xds_servers: [
      {
        server_uri: `unix://${adsSocketPath}`,
        channel_creds: [{ type: 'insecure' }],
        server_features: ['xds_v3'],
      },
    ],
    node: {
      id,
      // Libraries want one, even without anything in it.
      locality,
      metadata: { ...metadata, GENERATOR: 'grpc' },
    },
    ...(certificateDirectory === undefined
      ? {}
      : { certificate_providers: { default: fileWatcher(certificateDirectory) } }),
    server_listener_resource_name_template: 'xds.istio.io/grpc/lds/inbound/%s',
  };
}

function fileWatcher(directory: string): object {
  return {
    plugin_name: 'file_watcher',
    config: {
      private_key_file: join(directory, CERTIFICATE_FILES.key),
      certificate_file: join(directory, CERTIFICATE_FILES.chain),
      ca_certificate_file: join(directory, CERTIFICATE_FILES.root),
      refresh_interval: REFRESH_INTERVAL,
    },
  };
}
