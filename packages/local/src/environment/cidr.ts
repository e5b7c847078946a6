/** An IPv4 range: the first address as an unsigned number, and the prefix length. */
export interface Cidr {
  readonly base: number;
  readonly prefix: number;
  readonly text: string;
}

/** An IPv4 address as an unsigned number; `undefined` when the text is not one. */
export function parseIpv4(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    if (!/^\d{1,3}$/.test(part) || Number(part) > 255) return undefined;
    value = value * 256 + Number(part);
  }
  return value;
}

/** The dotted form of an address number. */
export function formatIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}

/** Reads `10.11.0.0/16`; `undefined` when it is not an IPv4 range or has bits set behind its prefix. */
export function parseCidr(text: string): Cidr | undefined {
  const [address = '', prefixText = ''] = text.split('/');
  const base = parseIpv4(address);
  const prefix = Number(prefixText);
  if (base === undefined || !/^\d{1,2}$/.test(prefixText) || prefix > 32) return undefined;
  if (base % 2 ** (32 - prefix) !== 0) return undefined;
  return { base, prefix, text };
}

/** Whether two ranges share an address. */
export function cidrsOverlap(left: Cidr, right: Cidr): boolean {
  const size = (cidr: Cidr): number => 2 ** (32 - cidr.prefix);
  return left.base < right.base + size(right) && right.base < left.base + size(left);
}

/** The n-th address of a range, counting its network address as 0. */
export function addressAt(cidr: Cidr, index: number): string {
  return formatIpv4(cidr.base + index);
}
