import { isIPv6, Socket } from 'node:net';
import { getSystemErrorMessage } from 'node:util';
import { loadLibc } from './libc.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM_NONBLOCK_CLOEXEC = 1 | 0o4000 | 0o2000000;
const SOL_SOCKET = 1;
const SO_MARK = 36;
const SOL_IP = 0;
const IP_TRANSPARENT = 19;
const SOL_IPV6 = 41;
const IPV6_TRANSPARENT = 75;

/** A socket may not have addresses that are not the machine's. */
export class NotTransparentError extends Error {
  override readonly name: string = 'NotTransparentError';
}

/** @returns The last C library call's error as text. */
export function lastError(): string {
  return getSystemErrorMessage(-loadLibc().errno());
}

/**
 * Makes a TCP socket whose options can be set before it is bound or connected, which Node has no hook for.
 *
 * @param use Gets the descriptor, and owns it once it has returned; when it throws, the socket is closed.
 */
export function openSocket<T>(isV6: boolean, use: (fd: number) => T): T {
  const libc = loadLibc();
  const fd = libc.socket(isV6 ? AF_INET6 : AF_INET, SOCK_STREAM_NONBLOCK_CLOEXEC, 0);
  if (fd === -1) throw new Error(`cannot make a socket: ${lastError()}`);
  try {
    return use(fd);
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/** Hands a descriptor to Node, with half-open semantics. */
export function adoptSocket(fd: number): Socket {
  // Read once connected: a read before connect() would fail with ENOTCONN.
  return new Socket({ fd, allowHalfOpen: true, manualStart: true } as ConstructorParameters<typeof Socket>[0]);
}

/** Sets an option that is a number. @returns Whether the kernel took it. */
export function setOption(fd: number, level: number, name: number, number: number): boolean {
  const value = Buffer.from(new Uint32Array([number]).buffer);
  return loadLibc().setsockopt(fd, level, name, value, value.length) === 0;
}

/** Sets SO_MARK. */
export function setMark(fd: number, mark: number): void {
  if (setOption(fd, SOL_SOCKET, SO_MARK, mark)) return;
  throw new Error(`cannot mark a socket with ${mark}: ${lastError()}; CAP_NET_ADMIN is needed`);
}

/** Lets a socket take, or have, any address. @throws NotTransparentError without the capability. */
export function setTransparent(fd: number, isV6: boolean): void {
  if (isV6 ? setOption(fd, SOL_IPV6, IPV6_TRANSPARENT, 1) : setOption(fd, SOL_IP, IP_TRANSPARENT, 1)) return;
  throw new NotTransparentError(`cannot make a socket transparent: ${lastError()}; CAP_NET_ADMIN is needed`);
}

/** Binds a socket. */
export function bindSocket(fd: number, address: string, port: number): void {
  const sockaddr = isIPv6(address) ? sockaddrV6(address, port) : sockaddrV4(address, port);
  if (loadLibc().bind(fd, sockaddr, sockaddr.length) !== 0) throw new Error(lastError());
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
