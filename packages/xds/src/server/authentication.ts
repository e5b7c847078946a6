import { err, ok, type Result } from '@meltemi/base';
import type { DiscoveryNode } from './node.ts';

/** Who a caller proved to be. */
export interface CallerIdentity {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** What a caller shows when it opens a stream. */
export interface StreamCredentials {
  /** The metadata `authorization`, as sent. */
  readonly authorization: string | undefined;
  /** The metadata `clusterid`: which cluster's API can vouch for the token. */
  readonly clusterId: string | undefined;
  /** DER of the client certificate, when TLS verified one. */
  readonly peerCertificate: Buffer | undefined;
  /** `ip:port`. */
  readonly peerAddress: string;
}

/**
 * Finds out who a caller is.
 *
 * @returns The identity; `undefined` when this server does not ask for one; or why the caller is refused.
 */
export type StreamAuthenticator = (credentials: StreamCredentials) => Promise<Result<CallerIdentity | undefined>>;

/** Compares what a node claims with what its caller proved. A caller may only introduce itself, never another workload. */
export function checkNodeIdentity(node: DiscoveryNode, identity: CallerIdentity | undefined): Result<void> {
  if (identity === undefined) return ok(undefined);
  if (node.namespace !== identity.namespace)
    return err(`node claims the namespace "${node.namespace}", but the caller is of "${identity.namespace}"`);
  if (node.serviceAccount !== '' && node.serviceAccount !== identity.serviceAccount)
    return err(
      `node claims the service account "${node.serviceAccount}", but the caller is "${identity.serviceAccount}"`,
    );
  // The name under which people and tools find the proxy; it must not be that of another namespace's pod.
  if (!node.proxyId.endsWith(`.${identity.namespace}`))
    return err(`node claims the name "${node.proxyId}", but the caller is of "${identity.namespace}"`);
  return ok(undefined);
}
