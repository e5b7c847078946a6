import { fromBinary } from '@bufbuild/protobuf';
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
} from '@meltemi/xds/types/envoy/service/discovery/v3/discovery_pb.js';
import { encodeDeltaResponse } from './envelope.ts';
import type { AdsProtocol, RequestOutcome } from './protocol.ts';
import type { Subscription } from './subscription.ts';

const ALL = '*';

/** Delta: requests and responses carry only what changes. */
export const deltaProtocol: AdsProtocol<DeltaDiscoveryRequest> = {
  name: 'delta',
  repeatsAll: false,
  decode: (bytes) => fromBinary(DeltaDiscoveryRequestSchema, bytes),
  encode: encodeDeltaResponse,
  namesOf: ({ resourceNamesSubscribe }) => resourceNamesSubscribe,
  apply: applyDeltaRequest,
};

function applyDeltaRequest(
  subscription: Subscription,
  request: DeltaDiscoveryRequest,
  isFirst: boolean,
): RequestOutcome {
  const outcome = isFirst ? 'subscribed' : applyNonce(subscription, request);
  // Names count whatever the nonce: a delta client never repeats them.
  changeSubscription(subscription, request, isFirst);
  return outcome;
}

function applyNonce(subscription: Subscription, request: DeltaDiscoveryRequest): RequestOutcome {
  if (request.errorDetail !== undefined) {
    subscription.reject(request.responseNonce, request.errorDetail.message);
    return 'rejected';
  }
  if (request.responseNonce === '') return 'subscribed';
  return subscription.acknowledge(request.responseNonce) ? 'acknowledged' : 'stale';
}

function changeSubscription(subscription: Subscription, request: DeltaDiscoveryRequest, isFirst: boolean): void {
  const added = request.resourceNamesSubscribe;
  const dropped = request.resourceNamesUnsubscribe;
  if (added.includes(ALL) || (isFirst && added.length === 0)) subscription.subscribeAll();
  subscription.subscribe(added.filter((name) => name !== ALL));
  if (dropped.includes(ALL)) subscription.unsubscribeAll();
  subscription.unsubscribe(dropped.filter((name) => name !== ALL));
  if (!isFirst) return;
  subscription.setKnown(request.initialResourceVersions);
  subscription.oweResponse();
}
