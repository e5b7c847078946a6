import { connect, isIPv6, Socket } from 'node:net';
import type { RuntimeHostAddress } from '../config/runtime-config.ts';
import { loadLibc } from './libc.ts';

/** Where to dial, and how the socket is made. */
export interface DialOptions {
  readonly to: RuntimeHostAddress;
  /** SO_MARK, by which capture rules tell the sidecar's own traffic apart; undefined: no mark. */
  readonly mark: number | undefined;
  /** Source address; undefined: the system's choice. */
  readonly bindAddress: string | undefined;
}

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM_NONBLOCK_CLOEXEC = 1 | 0o4000 | 0o2000000;
const SOL_SOCKET = 1;
const SO_MARK = 36;

/** A connected-to-nothing socket with the mark on it: Node has no hook between its own socket() and connect(). */
function createMarkedSocket(isV6: boolean, mark: number): Socket {
  const libc = loadLibc();
  const fd = libc.socket(isV6 ? AF_INET6 : AF_INET, SOCK_STREAM_NONBLOCK_CLOEXEC, 0);
  if (fd === -1) throw new Error(`Cannot make an upstream socket: errno ${libc.errno()}`);
  const value = Buffer.alloc(4);
  value.writeInt32LE(mark);
  if (libc.setsockopt(fd, SOL_SOCKET, SO_MARK, value, value.length) !== 0) {
    const errno = libc.errno();
    libc.close(fd);
    throw new Error(`Cannot mark an upstream socket with ${mark}: errno ${errno}; CAP_NET_ADMIN is needed`);
  }
  try {
    // Read once connected: a read before connect() would fail with ENOTCONN.
    return new Socket({ fd, allowHalfOpen: true, manualStart: true } as ConstructorParameters<typeof Socket>[0]);
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/**
 * Dials an upstream host. **Every upstream TCP socket of the proxy is made here**; one made elsewhere would be captured by the
 * sidecar's own rules.
 *
 * @returns A connecting socket with half-open semantics; `connect` or `error` follows.
 * @throws Error when the socket cannot be made or marked.
 */
export function dialMarked({ to, mark, bindAddress }: DialOptions): Socket {
  if (to.kind === 'pipe') return connect({ path: to.path, allowHalfOpen: true });
  const target = {
    host: to.address,
    port: to.port,
    ...(bindAddress === undefined ? {} : { localAddress: bindAddress }),
  };
  if (mark === undefined) return connect({ ...target, allowHalfOpen: true, noDelay: true, autoSelectFamily: false });
  const socket = createMarkedSocket(isIPv6(to.address), mark);
  socket.setNoDelay(true);
  return socket.connect({ ...target, autoSelectFamily: false });
}
