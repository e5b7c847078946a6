import { isIPv6 } from 'node:net';
import { bindSocket, lastError, openSocket, setOption, setTransparent } from './raw-socket.ts';

/** Where to listen. */
export interface TransparentSocketOptions {
  readonly address: string;
  readonly port: number;
  /** An IPv6 wildcard takes IPv4 connections, too. */
  readonly takesIpv4: boolean;
  readonly reusePort: boolean;
}

const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_REUSEPORT = 15;
const SOL_IPV6 = 41;
const IPV6_V6ONLY = 26;

/**
 * Binds a socket that takes connections to any address, which TPROXY rules hand it: Node has no name for `IP_TRANSPARENT`,
 * which has to be set before. An accepted connection's local address is where the client wanted to go.
 *
 * @returns A descriptor for `server.listen({ fd })`, which closes it in the end.
 * @throws Error with what is missing, `CAP_NET_ADMIN` mostly.
 */
export function bindTransparent({ address, port, takesIpv4, reusePort }: TransparentSocketOptions): number {
  const isV6 = isIPv6(address);
  return openSocket(isV6, (fd) => {
    setTransparent(fd, isV6);
    setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (reusePort && !setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1)) throw new Error(lastError());
    if (isV6) setOption(fd, SOL_IPV6, IPV6_V6ONLY, takesIpv4 ? 0 : 1);
    bindSocket(fd, address, port);
    return fd;
  });
}
