import { SocketAddress as NodeAddress, type Socket } from 'node:net';
import { loadLibc } from './libc.ts';
import { descriptorOf } from './socket-handle.ts';

/** An address as connections have it. */
export interface SocketAddress {
  readonly address: string;
  readonly port: number;
}

const SOL_IP = 0;
const SOL_IPV6 = 41;
const SO_ORIGINAL_DST = 80;
const SOCKADDR_IN_BYTES = 16;
const SOCKADDR_IN6_BYTES = 28;

function readIpv4(sockaddr: Buffer): SocketAddress {
  return { address: Array.from(sockaddr.subarray(4, 8)).join('.'), port: sockaddr.readUInt16BE(2) };
}

function readIpv6(sockaddr: Buffer): SocketAddress {
  const groups: string[] = [];
  for (let at = 8; at < 24; at += 2) groups.push(sockaddr.readUInt16BE(at).toString(16));
  // In the short form, by which everybody else names it: listeners are found by it.
  const { address } = new NodeAddress({ address: groups.join(':'), family: 'ipv6' });
  return { address, port: sockaddr.readUInt16BE(2) };
}

/**
 * Where a connection was going before iptables redirected it here.
 *
 * @returns Undefined when the kernel knows of no redirection: the connection came straight to us.
 */
export function originalDestination(socket: Socket): SocketAddress | undefined {
  const fd = descriptorOf(socket);
  if (fd === undefined) return undefined;
  const libc = loadLibc();
  const value = Buffer.alloc(SOCKADDR_IN6_BYTES);
  if (libc.getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, value, [SOCKADDR_IN_BYTES]) === 0) return readIpv4(value);
  if (socket.localFamily !== 'IPv6') return undefined;
  return libc.getsockopt(fd, SOL_IPV6, SO_ORIGINAL_DST, value, [SOCKADDR_IN6_BYTES]) === 0
    ? readIpv6(value)
    : undefined;
}
