import type { Node } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import type { DiscoveryUpdate } from './envelope.ts';
import type { Subscription } from './subscription.ts';

/** What a request turned out to be. */
export type RequestOutcome = 'subscribed' | 'acknowledged' | 'rejected' | 'stale' | 'unsubscribed';

/** What both kinds of request have. */
export interface AdsRequest {
  readonly typeUrl: string;
  readonly node?: Node | undefined;
  readonly responseNonce: string;
  readonly errorDetail?: { readonly code: number; readonly message: string } | undefined;
}

/** The wire form of one of ADS's two protocols; everything else is shared. */
export interface AdsProtocol<Request extends AdsRequest = AdsRequest> {
  readonly name: 'sotw' | 'delta';
  /** Whether a wildcard response carries every resource, changed or not. */
  readonly repeatsAll: boolean;
  decode(bytes: Uint8Array): Request;
  encode(update: DiscoveryUpdate): Buffer;
  /** The names that a request asks for. */
  namesOf(request: Request): readonly string[];
  /**
   * Carries a request over to its subscription.
   *
   * @param isFirst The stream has not seen this type before.
   */
  apply(subscription: Subscription, request: Request, isFirst: boolean): RequestOutcome;
}
