import type { Socket } from 'node:net';

/**
 * The file descriptor of an open socket.
 *
 * @returns Undefined when it is closed or not a real socket. `_handle.fd` is undocumented and stable on POSIX; everything that
 * relies on it is in this file.
 */
export function descriptorOf(socket: Socket): number | undefined {
  const handle = (socket as Socket & { readonly _handle?: { readonly fd?: number } | null })._handle;
  const fd = handle?.fd;
  return fd === undefined || fd < 0 ? undefined : fd;
}
