/** One resource of a response, still encoded: the client core does not know what is in it. */
export interface ReceivedResource {
  /** The name that the envelope gives; `undefined` in state-of-the-world responses without an envelope. */
  readonly name: string | undefined;
  /** The version of this resource alone; empty when the server versions whole responses. */
  readonly version: string;
  /** The type of `value`, a full type URL. */
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/** One response of the control plane. */
export interface ResourceUpdate {
  readonly typeUrl: string;
  /** `version_info`, or `system_version_info` of a delta response. */
  readonly versionInfo: string;
  readonly nonce: string;
  readonly resources: readonly ReceivedResource[];
  /** Names that the server says are gone; always empty for state of the world. */
  readonly removedNames: readonly string[];
  /** True for delta: whatever is not named is unchanged. False: the list is complete where the type is complete by rule. */
  readonly isDelta: boolean;
  /** The server's name for itself, when it gave one. */
  readonly controlPlane: string | undefined;
}

/** A resource that was refused, and why. The text goes to the control plane. */
export interface ResourceRejection {
  readonly name: string;
  readonly message: string;
}

/**
 * Applies one response and tells which resources were refused; the good ones of the same response are in use by then.
 *
 * Called for one response at a time, in the order of arrival. The ACK or NACK leaves when the promise resolves, so an
 * implementation that waits for its workers makes an ACK mean "traffic obeys". It must not wait for further responses.
 */
export type ApplyUpdate = (update: ResourceUpdate) => Promise<readonly ResourceRejection[]>;
