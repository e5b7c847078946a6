import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { anyIs } from '@bufbuild/protobuf/wkt';
import {
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
  ResourceSchema,
} from '@meltemi/xds/types/envoy/service/discovery/v3/discovery_pb.js';
import type { ReceivedResource } from './resource-update.ts';
import { namesMissing, type TypeState, WILDCARD } from './type-state.ts';
import { NACK_STATUS_CODE, rejectionText, type XdsWire } from './wire.ts';

/** Names of a request, in a stable order; a wildcard is an empty list. */
function requestNames(state: TypeState): string[] {
  return state.wanted === WILDCARD || state.wanted === undefined ? [] : [...state.wanted].sort();
}

function isInterestKnown(state: TypeState): boolean {
  if (state.told === undefined) return state.wanted !== WILDCARD && (state.wanted?.size ?? 0) === 0;
  return namesMissing(state.wanted, state.told).length === 0 && namesMissing(state.told, state.wanted).length === 0;
}

/** State of the world: every request repeats all names, every response of a complete type lists everything. */
export const sotwWire: XdsWire = {
  methods: {
    ads: '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources',
    sds: '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets',
  },

  interestRequest(state, node) {
    if (isInterestKnown(state)) return undefined;
    state.told = state.wanted;
    return toBinary(
      DiscoveryRequestSchema,
      create(DiscoveryRequestSchema, {
        ...(node === undefined ? {} : { node }),
        typeUrl: state.typeUrl,
        versionInfo: state.acceptedVersionInfo,
        resourceNames: requestNames(state),
        responseNonce: state.nonce,
      }),
    );
  },

  verdictRequest(state, update, rejections) {
    state.told = state.wanted;
    return toBinary(
      DiscoveryRequestSchema,
      create(DiscoveryRequestSchema, {
        typeUrl: state.typeUrl,
        versionInfo: state.acceptedVersionInfo,
        resourceNames: requestNames(state),
        responseNonce: update.nonce,
        ...(rejections.length === 0
          ? {}
          : { errorDetail: { code: NACK_STATUS_CODE, message: rejectionText(state.typeUrl, rejections) } }),
      }),
    );
  },

  decodeResponse(bytes) {
    const response = fromBinary(DiscoveryResponseSchema, bytes);
    const resources = response.resources.map((any): ReceivedResource => {
      if (!anyIs(any, ResourceSchema)) {
        return { name: undefined, version: response.versionInfo, typeUrl: any.typeUrl, value: any.value };
      }
      const envelope = fromBinary(ResourceSchema, any.value);
      return {
        name: envelope.name,
        version: envelope.version === '' ? response.versionInfo : envelope.version,
        typeUrl: envelope.resource?.typeUrl ?? response.typeUrl,
        value: envelope.resource?.value ?? new Uint8Array(),
      };
    });
    return {
      typeUrl: response.typeUrl,
      versionInfo: response.versionInfo,
      nonce: response.nonce,
      resources,
      removedNames: [],
      isDelta: false,
      controlPlane: response.controlPlane?.identifier,
    };
  },

  recordApplied(state, update, rejections) {
    if (rejections.length === 0) state.acceptedVersionInfo = update.versionInfo;
  },
};
