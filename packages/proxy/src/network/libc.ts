import { createRequire } from 'node:module';

/** The few C library calls that Node has no name for. */
export interface Libc {
  /** @returns Zero, or -1. `length` is in and out. */
  getsockopt(fd: number, level: number, option: number, value: Buffer, length: [number]): number;
  setsockopt(fd: number, level: number, option: number, value: Buffer, length: number): number;
  /** @returns A file descriptor, or -1. */
  socket(domain: number, type: number, protocol: number): number;
  /** @returns Zero, or -1. `address` is a `sockaddr`. */
  bind(fd: number, address: Buffer, length: number): number;
  close(fd: number): number;
  errno(): number;
}

let loaded: Libc | undefined;

/**
 * Loads the C library through koffi on first use: most proxies of a test, and every proxy without captured traffic, never pay
 * for it.
 *
 * @throws Error when koffi has no build for this machine.
 */
export function loadLibc(): Libc {
  if (loaded !== undefined) return loaded;
  // `require`, because a dynamic import would make the accept path asynchronous.
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const library = koffi.load('libc.so.6');
  loaded = {
    getsockopt: library.func('int getsockopt(int, int, int, _Out_ uint8_t*, _Inout_ uint32_t*)'),
    setsockopt: library.func('int setsockopt(int, int, int, const uint8_t*, uint32_t)'),
    socket: library.func('int socket(int, int, int)'),
    bind: library.func('int bind(int, const uint8_t*, uint32_t)'),
    close: library.func('int close(int)'),
    errno: () => koffi.errno(),
  };
  return loaded;
}
