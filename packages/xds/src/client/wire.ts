import type { Node } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import type { ResourceRejection, ResourceUpdate } from './resource-update.ts';
import type { TypeState } from './type-state.ts';

/** One of the two dialects of a discovery stream: state of the world, or delta. */
export interface XdsWire {
  /** Full method names by service. */
  readonly methods: { readonly ads: string; readonly sds: string };

  /**
   * The request that tells the server the present interest in a type.
   *
   * @param node Set on the first message of a stream only.
   * @returns `undefined` when the server knows already, or there is nothing to ask for.
   */
  interestRequest(state: TypeState, node: Node | undefined): Uint8Array | undefined;

  /** The verdict about a response: an ACK when `rejections` is empty. Never the first message of a stream. */
  verdictRequest(state: TypeState, update: ResourceUpdate, rejections: readonly ResourceRejection[]): Uint8Array;

  /** @throws when the bytes are no response. */
  decodeResponse(bytes: Uint8Array): ResourceUpdate;

  /** Takes an applied response into the state: versions of what is held now. */
  recordApplied(state: TypeState, update: ResourceUpdate, rejections: readonly ResourceRejection[]): void;
}

/** gRPC's INVALID_ARGUMENT would be Envoy's older choice; Envoy sends INTERNAL with the text of each refusal. */
export const NACK_STATUS_CODE = 13;

/** The text of a NACK: every refused resource by its name. */
export function rejectionText(typeUrl: string, rejections: readonly ResourceRejection[]): string {
  const shortName = typeUrl.slice(typeUrl.lastIndexOf('.') + 1);
  const causes = rejections.map(({ name, message }) => (name === '' ? message : `${name}: ${message}`));
  return `Error adding/updating ${shortName}(s) ${causes.join('; ')}`;
}
