import { isIPv6 } from 'node:net';
import { getSystemErrorMessage } from 'node:util';
import { loadLibc } from './libc.ts';

/** Where to listen. */
export interface TransparentSocketOptions {
  readonly address: string;
  readonly port: number;
  readonly reusePort: boolean;
}

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM_NONBLOCK_CLOEXEC = 1 | 0o4000 | 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_REUSEPORT = 15;
const SOL_IP = 0;
const IP_TRANSPARENT = 19;
const SOL_IPV6 = 41;
const IPV6_TRANSPARENT = 75;

/**
 * Binds a socket that takes connections to any address, which TPROXY rules hand it: Node has no name for `IP_TRANSPARENT`,
 * which has to be set before. An accepted connection's local address is where the client wanted to go.
 *
 * @returns A descriptor for `server.listen({ fd })`, which closes it in the end.
 * @throws Error with what is missing, `CAP_NET_ADMIN` mostly.
 */
export function bindTransparent({ address, port, reusePort }: TransparentSocketOptions): number {
  const libc = loadLibc();
  const isV6 = isIPv6(address);
  const fd = libc.socket(isV6 ? AF_INET6 : AF_INET, SOCK_STREAM_NONBLOCK_CLOEXEC, 0);
  if (fd === -1) throw new Error(`cannot make a socket: ${reason(libc.errno())}`);
  const option = Buffer.from(new Int32Array([1]).buffer);
  const set = (level: number, name: number): boolean => libc.setsockopt(fd, level, name, option, option.length) === 0;
  const transparent = isV6 ? set(SOL_IPV6, IPV6_TRANSPARENT) : set(SOL_IP, IP_TRANSPARENT);
  const errno = transparent ? bindSocket(fd) : libc.errno();
  if (errno === 0) return fd;
  libc.close(fd);
  throw new Error(
    transparent ? reason(errno) : `cannot make it transparent: ${reason(errno)}; CAP_NET_ADMIN is needed`,
  );

  function bindSocket(socket: number): number {
    set(SOL_SOCKET, SO_REUSEADDR);
    if (reusePort && !set(SOL_SOCKET, SO_REUSEPORT)) return libc.errno();
    const sockaddr = isV6 ? sockaddrV6(address, port) : sockaddrV4(address, port);
    return libc.bind(socket, sockaddr, sockaddr.length) === 0 ? 0 : libc.errno();
  }
}

function reason(errno: number): string {
  return getSystemErrorMessage(-errno);
}

function sockaddrV4(address: string, port: number): Buffer {
  const sockaddr = Buffer.alloc(16);
  sockaddr.writeUInt16LE(AF_INET, 0);
  sockaddr.writeUInt16BE(port, 2);
  sockaddr.set(address.split('.').map(Number), 4);
  return sockaddr;
}

function sockaddrV6(address: string, port: number): Buffer {
  const sockaddr = Buffer.alloc(28);
  sockaddr.writeUInt16LE(AF_INET6, 0);
  sockaddr.writeUInt16BE(port, 2);
  for (const [index, group] of expandGroups(address).entries()) sockaddr.writeUInt16BE(group, 8 + index * 2);
  return sockaddr;
}

/** The eight groups of an IPv6 address without an IPv4 part. */
function expandGroups(address: string): readonly number[] {
  const groups = (text: string): readonly number[] =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
  const [head = '', tail = ''] = address.split('::');
  const [before, after] = [groups(head), groups(tail)];
  return [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
}
