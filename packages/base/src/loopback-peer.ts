const LOOPBACK_PEERS: ReadonlySet<string> = new Set(['127.0.0.1', '::1', '::ffff:127.0.0.1']);

/**
 * Whether a socket's peer is a process of the same host or pod.
 *
 * Only the addresses that such a process connects from by itself count, not all of 127.0.0.0/8: a sidecar passes on what
 * others sent from 127.0.0.6, and that must not open what is kept for the own host.
 */
export function isLoopbackPeer(remoteAddress: string | undefined): boolean {
  return remoteAddress !== undefined && LOOPBACK_PEERS.has(remoteAddress);
}
