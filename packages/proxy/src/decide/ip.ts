import type { RuntimeCidr } from '../config/runtime-config.ts';

/** An IP address as a number. */
export interface IpAddress {
  readonly version: 4 | 6;
  readonly value: bigint;
}

/** Address and port as logs, stats and dumps write them. */
export function socketText(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** 32 or 128. */
export function addressBits(address: IpAddress): number {
  return address.version === 4 ? 32 : 128;
}

function parseIpv4(text: string): bigint | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0n;
  for (const part of parts) {
    if (!/^\d{1,3}$/.test(part) || Number(part) > 255) return undefined;
    value = value * 256n + BigInt(part);
  }
  return value;
}

function parseGroups(text: string): readonly string[] {
  return text === '' ? [] : text.split(':');
}

function parseIpv6(text: string): bigint | undefined {
  let source = text;
  const lastColon = source.lastIndexOf(':');
  if (source.includes('.')) {
    const tail = parseIpv4(source.slice(lastColon + 1));
    if (tail === undefined) return undefined;
    source = `${source.slice(0, lastColon + 1)}${(tail >> 16n).toString(16)}:${(tail & 0xffffn).toString(16)}`;
  }
  const halves = source.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] as string);
  const tail = halves.length === 2 ? parseGroups(halves[1] as string) : [];
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  let value = 0n;
  for (const group of [...head, ...Array.from({ length: missing }, () => '0'), ...tail]) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
    value = (value << 16n) | BigInt(`0x${group}`);
  }
  return value;
}

/** Reads an address of either family; IPv4-mapped IPv6 becomes IPv4, as it is the same peer. */
export function parseIp(text: string): IpAddress | undefined {
  if (!text.includes(':')) {
    const value = parseIpv4(text);
    return value === undefined ? undefined : { version: 4, value };
  }
  const value = parseIpv6(text);
  if (value === undefined) return undefined;
  if (value >> 32n === 0xffffn) return { version: 4, value: value & 0xffffffffn };
  return { version: 6, value };
}

/** Whether an address is of the local host. */
export function isLoopback(text: string): boolean {
  return text.startsWith('127.') || text === '::1' || text.startsWith('::ffff:127.');
}

/** Compiles ranges to a test of an address in text form. */
export function compileCidrs(ranges: readonly RuntimeCidr[]): (text: string) => boolean {
  const parsed = ranges.flatMap(({ address, prefixLength }) => {
    const ip = parseIp(address);
    return ip === undefined ? [] : [{ ip, prefixLength }];
  });
  if (parsed.length === 0) return () => false;
  return (text) => {
    const address = parseIp(text);
    if (address === undefined) return false;
    return parsed.some(({ ip, prefixLength }) => {
      if (ip.version !== address.version) return false;
      const shift = BigInt(addressBits(ip) - prefixLength);
      return ip.value >> shift === address.value >> shift;
    });
  };
}

/** An address without the IPv6 spelling of an IPv4 one, as Node reports peers of dual-stack listeners. */
export function canonicalIp(text: string): string {
  return text.startsWith('::ffff:') && text.includes('.') ? text.slice(7) : text;
}
