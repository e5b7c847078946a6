import { MeltemiError } from '@meltemi/base';
import { addressAt, type Cidr, cidrsOverlap, formatIpv4, parseCidr, parseIpv4 } from '../environment/cidr.ts';

/** Port of cluster DNS on the cluster's DNS address: 53 is for the privileged. */
export const LOOPBACK_DNS_PORT = 10_053;

/** The machine's own: 127.0.0.1, and the stub resolvers of 127.0.0.53 and 127.0.1.1. */
const RESERVED: Cidr = { base: 127 * 2 ** 24, prefix: 15, text: '127.0.0.0/15' };

/**
 * The range inside 127.0.0.0/8 that stands in for a range of the address plan: 10.11.0.0/16 becomes 127.11.0.0/16.
 *
 * @returns `undefined` where the outcome would take in addresses that the machine itself uses.
 */
export function toLoopbackCidr({ base, prefix }: Cidr): Cidr | undefined {
  if (prefix < 8) return undefined;
  const moved = 127 * 2 ** 24 + (base % 2 ** 24);
  const cidr = { base: moved, prefix, text: `${formatIpv4(moved)}/${prefix}` };
  return cidrsOverlap(cidr, RESERVED) ? undefined : cidr;
}

function parsed(podCidr: string): Cidr {
  const cidr = parseCidr(podCidr);
  if (cidr === undefined) throw new MeltemiError('USAGE', `"${podCidr}" is not an IPv4 range such as 127.11.0.0/16`);
  return cidr;
}

/** The half of a pod range that pods' addresses come from; the other half is their applications'. */
export function podHalf(podCidr: string): string {
  const { base, prefix } = parsed(podCidr);
  return `${formatIpv4(base)}/${prefix + 1}`;
}

/** The address that a pod's application listens on: as far into the second half as the pod's is into the first. */
export function applicationAddress(podIp: string, podCidr: string): string {
  const { base, prefix, text } = parsed(podCidr);
  const offset = (parseIpv4(podIp) ?? 0) - base;
  const halfSize = 2 ** (31 - prefix);
  if (offset < 0 || offset >= halfSize) {
    throw new MeltemiError('POD_ADDRESS', `Cannot place ${podIp}: it is not in the first half of ${text}`);
  }
  return addressAt({ base, prefix, text }, offset + halfSize);
}
