import { connect, isIPv6, type Socket } from 'node:net';
import type { RuntimeHostAddress } from '../config/runtime-config.ts';
import { adoptSocket, openSocket, setMark } from './raw-socket.ts';

/** Where to dial, and how the socket is made. */
export interface DialOptions {
  readonly to: RuntimeHostAddress;
  /** SO_MARK, by which capture rules tell the sidecar's own traffic apart; undefined: no mark. */
  readonly mark: number | undefined;
  /** Source address; undefined: the system's choice. */
  readonly bindAddress: string | undefined;
  /** A socket to dial with that has mark and source address already; default: one is made. */
  readonly bound?: Socket | undefined;
}

/** A connected-to-nothing socket with the mark on it: Node has no hook between its own socket() and connect(). */
function createMarkedSocket(isV6: boolean, mark: number): Socket {
  return openSocket(isV6, (fd) => {
    setMark(fd, mark);
    return adoptSocket(fd);
  });
}

/**
 * Dials an upstream host. **Every upstream TCP socket of the proxy is connected here**; one made elsewhere would be captured by
 * the sidecar's own rules.
 *
 * @returns A connecting socket with half-open semantics; `connect` or `error` follows.
 * @throws Error when the socket cannot be made or marked.
 */
export function dialMarked({ to, mark, bindAddress, bound }: DialOptions): Socket {
  if (to.kind === 'pipe') return connect({ path: to.path, allowHalfOpen: true });
  const target = { host: to.address, port: to.port, autoSelectFamily: false };
  if (bound !== undefined) return bound.setNoDelay(true).connect(target);
  const local = bindAddress === undefined ? {} : { localAddress: bindAddress };
  if (mark === undefined) return connect({ ...target, ...local, allowHalfOpen: true, noDelay: true });
  return createMarkedSocket(isIPv6(to.address), mark)
    .setNoDelay(true)
    .connect({ ...target, ...local });
}
