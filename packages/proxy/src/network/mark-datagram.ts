import type { Socket } from 'node:dgram';
import { loadLibc } from './libc.ts';

const SOL_SOCKET = 1;
const SO_MARK = 36;

/**
 * Sets SO_MARK on a bound UDP socket, by which capture rules tell the sidecar's own traffic apart.
 *
 * @throws Error when the socket is not bound, or may not be marked.
 */
export function markDatagramSocket(socket: Socket, mark: number): void {
  // Undocumented like that of TCP sockets, see `descriptorOf`, and the only way to the descriptor.
  const internals = Object.getOwnPropertySymbols(socket).find((symbol) => symbol.description === 'state symbol');
  const state =
    internals === undefined
      ? undefined
      : (socket as unknown as Record<symbol, { handle?: { fd?: number } }>)[internals];
  const fd = state?.handle?.fd;
  if (fd === undefined || fd < 0) throw new Error('Cannot mark a UDP socket: it is not bound');
  const libc = loadLibc();
  const value = Buffer.alloc(4);
  value.writeInt32LE(mark);
  if (libc.setsockopt(fd, SOL_SOCKET, SO_MARK, value, value.length) !== 0)
    throw new Error(`Cannot mark a UDP socket with ${mark}: errno ${libc.errno()}; CAP_NET_ADMIN is needed`);
}
