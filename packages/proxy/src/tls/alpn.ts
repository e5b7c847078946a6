/**
 * Protocols that configuration names and this proxy does not speak (yet). They are neither offered nor accepted, because a peer
 * that got one would use it: HTTP/2, and the metadata that `istio-peer-exchange` puts in front of TCP payloads.
 */
const UNSUPPORTED: ReadonlySet<string> = new Set(['h2', 'istio-h2', 'h3', 'istio-peer-exchange']);

/** The protocols to offer, of those that are configured. */
export function offeredAlpn(configured: readonly string[]): string[] {
  return configured.filter((protocol) => !UNSUPPORTED.has(protocol));
}

/**
 * The protocol to accept: the first of ours that the client offers.
 *
 * @returns Empty when none is shared: the handshake then goes on without ALPN, as Envoy's does, where Node's own choice would
 * abort it.
 */
export function chooseAlpn(ours: readonly string[], offered: readonly string[]): string {
  return ours.find((protocol) => offered.includes(protocol) && !UNSUPPORTED.has(protocol)) ?? '';
}
