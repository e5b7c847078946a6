import { resolve } from 'node:path';
import { MeltemiError } from '@meltemi/base';
import { createGrpcTransport, type DiscoveryTransport } from '@meltemi/xds/client';
import type { Configuration } from './configuration.ts';

/**
 * Opens a gRPC channel to a cluster of the bootstrap, from the main thread: discovery does not depend on the workers.
 *
 * @throws MeltemiError `PROXY_BOOTSTRAP_INVALID` when the cluster is not one that the main thread can dial.
 */
export function connectToCluster(configuration: Configuration, name: string): DiscoveryTransport {
  const cluster = configuration.clusters.wanted.get(name)?.compiled;
  if (cluster === undefined) {
    throw new MeltemiError(
      'PROXY_BOOTSTRAP_INVALID',
      `Cannot use the bootstrap: discovery names cluster ${name}, which is not a static cluster`,
    );
  }
  if (cluster.runtime.transport.kind !== 'plaintext') {
    throw new MeltemiError(
      'PROXY_BOOTSTRAP_INVALID',
      `Cannot use the bootstrap: discovery cluster ${name} has TLS; let an agent hold that leg and give its Unix socket`,
    );
  }
  const endpoints = cluster.staticEndpoints ?? cluster.dns?.template;
  const address = endpoints?.localities[0]?.hosts[0]?.address;
  if (address === undefined) {
    throw new MeltemiError(
      'PROXY_BOOTSTRAP_INVALID',
      `Cannot use the bootstrap: discovery cluster ${name} has no address`,
    );
  }
  return createGrpcTransport({
    target: address.kind === 'pipe' ? `unix:${resolve(address.path)}` : `${address.address}:${address.port}`,
  });
}
