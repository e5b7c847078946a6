/** Everything wanted: the subscription of types whose list the server completes (clusters, listeners). */
export const WILDCARD = '*';

/**
 * What one client knows about one resource type: what is wanted, what this stream was told, and the last good state.
 * SotW and delta share it; only the wire differs.
 */
export interface TypeState {
  readonly typeUrl: string;
  /** `undefined` when nothing was asked for yet. */
  wanted: ReadonlySet<string> | typeof WILDCARD | undefined;
  /** What the server of the current stream was last told; `undefined` before the type's first request. */
  told: ReadonlySet<string> | typeof WILDCARD | undefined;
  /** The version of the last response that was accepted, kept over reconnects. */
  acceptedVersionInfo: string;
  /** The nonce of the latest response on the current stream. */
  nonce: string;
  /** Delta: versions of the resources held, sent as `initial_resource_versions` on a new stream. */
  readonly resourceVersions: Map<string, string>;
  /** A response waits for its verdict: requests in between would carry a nonce that the server has left behind. */
  isHandlingResponse: boolean;
}

/** A type's state before its first request. */
export function createTypeState(typeUrl: string): TypeState {
  return {
    typeUrl,
    wanted: undefined,
    told: undefined,
    acceptedVersionInfo: '',
    nonce: '',
    resourceVersions: new Map(),
    isHandlingResponse: false,
  };
}

/** Forgets what belongs to one stream; subscriptions and accepted versions stay. */
export function forgetStream(state: TypeState): void {
  state.told = undefined;
  state.nonce = '';
  state.isHandlingResponse = false;
}

/** What a set of names (or the wildcard) holds and another does not. */
export function namesMissing(
  from: ReadonlySet<string> | typeof WILDCARD | undefined,
  inThat: ReadonlySet<string> | typeof WILDCARD | undefined,
): string[] {
  const names = from === WILDCARD ? [WILDCARD] : [...(from ?? [])];
  return names.filter((name) => !(inThat === WILDCARD ? name === WILDCARD : (inThat?.has(name) ?? false)));
}
