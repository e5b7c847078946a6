import { fromBinary } from '@bufbuild/protobuf';
import {
  type DiscoveryRequest,
  DiscoveryRequestSchema,
} from '@meltemi/xds/types/envoy/service/discovery/v3/discovery_pb.js';
import { WILDCARD_TYPES } from '../type-urls.ts';
import { encodeSotwResponse } from './envelope.ts';
import type { AdsProtocol, RequestOutcome } from './protocol.ts';
import type { Subscription } from './subscription.ts';

/** State of the world: each request names everything that the client wants. */
export const sotwProtocol: AdsProtocol<DiscoveryRequest> = {
  name: 'sotw',
  repeatsAll: true,
  decode: (bytes) => fromBinary(DiscoveryRequestSchema, bytes),
  encode: encodeSotwResponse,
  namesOf: ({ resourceNames }) => resourceNames,
  apply: applySotwRequest,
};

function applySotwRequest(subscription: Subscription, request: DiscoveryRequest, isFirst: boolean): RequestOutcome {
  const wantsAll = isWildcardRequest(request);
  if (request.errorDetail !== undefined) {
    subscription.reject(request.responseNonce, request.errorDetail.message);
    return 'rejected';
  }
  if (!wantsAll && request.resourceNames.length === 0) return 'unsubscribed';
  if (isFirst || request.responseNonce === '') {
    subscribeAnew(subscription, request.resourceNames, wantsAll);
    return 'subscribed';
  }
  if (!subscription.acknowledge(request.responseNonce)) return 'stale';
  if (!wantsAll) changeNames(subscription, request.resourceNames);
  return 'acknowledged';
}

function isWildcardRequest(request: DiscoveryRequest): boolean {
  if (!WILDCARD_TYPES.has(request.typeUrl)) return false;
  return request.resourceNames.length === 0 || request.resourceNames.includes('*');
}

function subscribeAnew(subscription: Subscription, names: readonly string[], wantsAll: boolean): void {
  if (wantsAll) subscription.subscribeAll();
  else changeNames(subscription, names);
  subscription.force('all');
  subscription.oweResponse();
}

function changeNames(subscription: Subscription, names: readonly string[]): void {
  const wanted = new Set(names);
  subscription.unsubscribe([...subscription.names].filter((name) => !wanted.has(name)));
  subscription.subscribe(names.filter((name) => !subscription.names.has(name)));
}
