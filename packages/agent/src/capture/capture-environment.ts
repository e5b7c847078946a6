import { isIP, isIPv6 } from 'node:net';
import type { IpFamily } from './rule-model.ts';
import type { RunProgram } from './run-program.ts';

/** An address as `ip -json addr` prints it. */
interface InterfaceAddress {
  readonly local?: string;
  readonly scope?: string;
}

/**
 * The families that need rules: that of the first address of the pod, or with `dualStack` of any. IPv4 always has them.
 *
 * @param addresses Addresses of the pod, without loopback and link-local ones, in the order of its interfaces.
 */
export function familiesFor(addresses: readonly string[], dualStack: boolean): readonly IpFamily[] {
  const hasV6 = dualStack ? addresses.some((address) => isIPv6(address)) : isIPv6(addresses[0] ?? '');
  return hasV6 ? ['v4', 'v6'] : ['v4'];
}

/** Whether an address can be called from elsewhere. */
export function isUsableAddress(address: string): boolean {
  return isIP(address) !== 0 && !/^(127\.|169\.254\.|::1$|fe[89ab])/i.test(address);
}

/** Addresses of the network namespace that a runner works in. */
export async function readAddresses(run: RunProgram): Promise<readonly string[]> {
  // The output of `ip -json addr`, whose fields are those of its own documentation.
  const links = JSON.parse((await run('ip', ['-json', 'addr'])) || '[]') as readonly {
    readonly addr_info?: readonly InterfaceAddress[];
  }[];
  return links.flatMap(({ addr_info: infos = [] }) =>
    infos.flatMap(({ local = '' }) => (isUsableAddress(local) ? [local] : [])),
  );
}
