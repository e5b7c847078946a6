import type { EncodedResource } from '../encoded-resource.ts';
import { encodeWireMessage } from '../wire.ts';

/** One response, before it is put into the form of either protocol. */
export interface DiscoveryUpdate {
  readonly typeUrl: string;
  readonly versionInfo: string;
  readonly nonce: string;
  /** `control_plane.identifier`. */
  readonly controlPlane: string;
  readonly resources: readonly EncodedResource[];
  /** Names that the client must forget; only delta can say this. */
  readonly removed: readonly string[];
}

/** A `DiscoveryResponse`. */
export function encodeSotwResponse(update: DiscoveryUpdate): Buffer {
  return encodeWireMessage([
    [1, update.versionInfo],
    ...update.resources.map((resource) => [2, resource.any] as const),
    [4, update.typeUrl],
    [5, update.nonce],
    [6, encodeWireMessage([[1, update.controlPlane]])],
  ]);
}

/** A `DeltaDiscoveryResponse`. */
export function encodeDeltaResponse(update: DiscoveryUpdate): Buffer {
  return encodeWireMessage([
    [1, update.versionInfo],
    ...update.resources.map((resource) => [2, resource.entry] as const),
    [4, update.typeUrl],
    [5, update.nonce],
    ...update.removed.map((name) => [6, name] as const),
    [7, encodeWireMessage([[1, update.controlPlane]])],
  ]);
}
