import type { Socket } from 'node:net';
import type { RuntimeTcpKeepalive } from '../config/runtime-config.ts';
import { loadLibc } from './libc.ts';
import { descriptorOf } from './socket-handle.ts';

const IPPROTO_TCP = 6;
const TCP_KEEPINTVL = 5;
const TCP_KEEPCNT = 6;

/** Has the kernel probe a connection that is quiet. Node itself can say when, and neither how often nor how long. */
export function setKeepalive(socket: Socket, { timeMs, intervalMs, probes }: RuntimeTcpKeepalive): void {
  socket.setKeepAlive(true, timeMs);
  const descriptor = descriptorOf(socket);
  if (descriptor === undefined) return;
  const set = (option: number, value: number): void => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(value);
    loadLibc().setsockopt(descriptor, IPPROTO_TCP, option, bytes, bytes.length);
  };
  if (intervalMs !== undefined) set(TCP_KEEPINTVL, Math.max(1, Math.round(intervalMs / 1000)));
  if (probes !== undefined) set(TCP_KEEPCNT, probes);
}
