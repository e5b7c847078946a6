import type {
  AddressSchema,
  CidrRangeSchema,
  SocketAddressSchema,
} from '@meltemi/xds/types/envoy/config/core/v3/address_pb.js';
import type { Init } from './protobuf-values.ts';

/** An IP address and a port. */
export function ipAddress(address: string, port: number): Init<typeof SocketAddressSchema> {
  return { address, portSpecifier: { case: 'portValue', value: port } };
}

/** The same as an `Address`: IP and port, or a Unix socket written `unix://path`. */
export function toAddress(address: string, port: number): Init<typeof AddressSchema> {
  if (address.startsWith('unix://'))
    return { address: { case: 'pipe', value: { path: address.slice('unix://'.length) } } };
  return { address: { case: 'socketAddress', value: ipAddress(address, port) } };
}

/** A CIDR range; an address alone is a range of one. */
export function toCidrRange(text: string): Init<typeof CidrRangeSchema> {
  const [addressPrefix = text, length] = text.split('/');
  const prefixLen = length === undefined ? (addressPrefix.includes(':') ? 128 : 32) : Number(length);
  return { addressPrefix, prefixLen };
}
