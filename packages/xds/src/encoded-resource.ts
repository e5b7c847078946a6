import { sha256Hex } from '@meltemi/base';
import { encodeWireMessage } from './wire.ts';

/** A resource as bytes, encoded once and sent to every client that needs it. */
export interface EncodedResource {
  readonly typeUrl: string;
  readonly name: string;
  /** Changes exactly when the content does. */
  readonly version: string;
  /** A `google.protobuf.Any`: what state-of-the-world responses repeat. */
  readonly any: Uint8Array;
  /** An `envoy.service.discovery.v3.Resource`: what delta responses repeat. */
  readonly entry: Uint8Array;
}

/**
 * Wraps the bytes of a resource.
 *
 * @param message The encoded resource itself.
 */
export function encodeResource(typeUrl: string, name: string, message: Uint8Array): EncodedResource {
  const any = encodeWireMessage([
    [1, typeUrl],
    [2, message],
  ]);
  const version = sha256Hex(any).slice(0, 16);
  const entry = encodeWireMessage([
    [1, version],
    [2, any],
    [3, name],
  ]);
  return { typeUrl, name, version, any, entry };
}
