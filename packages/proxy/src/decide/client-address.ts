/** What says how far forwarded addresses are believed. */
export interface ClientAddressOptions {
  readonly useRemoteAddress: boolean;
  readonly trustedHops: number;
  readonly skipXffAppend: boolean;
  readonly isInternalAddress: (ip: string) => boolean;
}

/** Where a request came from. */
export interface ClientAddress {
  /** The trusted client address. */
  readonly ip: string;
  /** `x-forwarded-for` to send on; undefined: none. */
  readonly forwardedFor: string | undefined;
  readonly isInternal: boolean;
  /** It entered the mesh here: not internal, and we see the client's own connection. */
  readonly isEdge: boolean;
}

/** The n-th address from the right (0 is the last), if there are that many and it looks like one. */
function addressFromRight(forwardedFor: string, index: number): string | undefined {
  const entries = forwardedFor.split(',');
  const entry = entries[entries.length - 1 - index]?.trim();
  if (entry === undefined || !/^[0-9a-fA-F.:]+$/.test(entry)) return undefined;
  return entry;
}

/**
 * Works out the client's address from the connection and `x-forwarded-for`.
 *
 * @param peerIp The connection's peer.
 * @param forwardedFor As received, repeated fields joined.
 * @param appendedIp What is appended for the peer; our own address when the peer is on this host.
 * @see Envoy, docs/root/configuration/http/http_conn_man/headers.rst, x-forwarded-for
 */
export function resolveClientAddress(
  options: ClientAddressOptions,
  peerIp: string,
  forwardedFor: string | undefined,
  appendedIp: string,
): ClientAddress {
  const present = forwardedFor === undefined || forwardedFor === '' ? undefined : forwardedFor;
  const { trustedHops, isInternalAddress } = options;
  if (options.useRemoteAddress) {
    const trusted = trustedHops > 0 && present !== undefined ? addressFromRight(present, trustedHops - 1) : undefined;
    const isInternal = present === undefined && isInternalAddress(peerIp);
    const appended = present === undefined ? appendedIp : `${present},${appendedIp}`;
    return {
      ip: trusted ?? peerIp,
      forwardedFor: options.skipXffAppend ? present : appended,
      isInternal,
      isEdge: !isInternal,
    };
  }
  const trusted = present === undefined ? undefined : addressFromRight(present, trustedHops);
  const isOnly = present !== undefined && !present.includes(',');
  return {
    ip: trusted ?? peerIp,
    forwardedFor: present,
    isInternal: isOnly && trusted !== undefined && isInternalAddress(trusted),
    isEdge: false,
  };
}
