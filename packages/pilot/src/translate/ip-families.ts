import { UNSPECIFIED_ADDRESS } from '@meltemi/model';
import type { AddressSchema, BindConfigSchema } from '@meltemi/xds/types/envoy/config/core/v3/address_pb.js';
import { SocketAddress_Protocol } from '@meltemi/xds/types/envoy/config/core/v3/address_pb.js';
import { ipAddress } from './addresses.ts';
import type { Init } from './protobuf-values.ts';

/** Which addresses a pod has. */
export type IpFamilies = 'v4' | 'v6' | 'dual';

/** The families of a proxy's addresses; IPv4 when it names none. */
export function familiesOf(addresses: readonly string[]): IpFamilies {
  const hasV6 = addresses.some((address) => address.includes(':'));
  if (!hasV6) return 'v4';
  return addresses.some((address) => !address.includes(':')) ? 'dual' : 'v6';
}

/** What stands for every address in names of listeners and chains. */
export function anyAddressOf(families: IpFamilies): string {
  return families === 'v6' ? '::' : UNSPECIFIED_ADDRESS;
}

/** Every address of a pod: where it has both families, one listener is for both. */
export function toAnyAddress(families: IpFamilies, port: number): Init<typeof AddressSchema> {
  const value =
    families === 'dual' ? { ...ipAddress('::', port), ipv4Compat: true } : ipAddress(anyAddressOf(families), port);
  return { address: { case: 'socketAddress', value } };
}

/** The pod itself. */
export function loopbackOf(families: IpFamilies): string {
  return families === 'v6' ? '::1' : '127.0.0.1';
}

const INBOUND_SOURCES = { v4: ['127.0.0.6'], v6: ['::6'], dual: ['127.0.0.6', '::6'] } as const;

/**
 * Marks a cluster's connections as coming from the sidecar, on their way to the app: the capture rules let these addresses
 * through, and nothing else has them.
 */
export function inboundSource(families: IpFamilies): { readonly upstreamBindConfig: Init<typeof BindConfigSchema> } {
  const [first, ...others] = INBOUND_SOURCES[families].map((address) => ({
    protocol: SocketAddress_Protocol.TCP,
    ...ipAddress(address, 0),
  }));
  return {
    upstreamBindConfig: {
      ...(first === undefined ? {} : { sourceAddress: first }),
      ...(others.length === 0 ? {} : { extraSourceAddresses: others.map((address) => ({ address })) }),
    },
  };
}
