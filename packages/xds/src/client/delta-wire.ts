import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from '@meltemi/xds/types/envoy/service/discovery/v3/discovery_pb.js';
import { namesMissing } from './type-state.ts';
import { NACK_STATUS_CODE, rejectionText, type XdsWire } from './wire.ts';

/** Delta: requests and responses name what changed; held versions are told once per stream. */
export const deltaWire: XdsWire = {
  methods: {
    ads: '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
    sds: '/envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets',
  },

  interestRequest(state, node) {
    const isFirst = state.told === undefined;
    const subscribe = namesMissing(state.wanted, state.told).sort();
    const unsubscribe = namesMissing(state.told, state.wanted).sort();
    if (subscribe.length === 0 && unsubscribe.length === 0) return undefined;
    state.told = state.wanted;
    // A name that is given up must not be claimed as held on the next stream.
    for (const name of unsubscribe) state.resourceVersions.delete(name);
    return toBinary(
      DeltaDiscoveryRequestSchema,
      create(DeltaDiscoveryRequestSchema, {
        ...(node === undefined ? {} : { node }),
        typeUrl: state.typeUrl,
        resourceNamesSubscribe: subscribe,
        resourceNamesUnsubscribe: unsubscribe,
        ...(isFirst ? { initialResourceVersions: Object.fromEntries(state.resourceVersions) } : {}),
      }),
    );
  },

  verdictRequest(state, update, rejections) {
    return toBinary(
      DeltaDiscoveryRequestSchema,
      create(DeltaDiscoveryRequestSchema, {
        typeUrl: state.typeUrl,
        responseNonce: update.nonce,
        ...(rejections.length === 0
          ? {}
          : { errorDetail: { code: NACK_STATUS_CODE, message: rejectionText(state.typeUrl, rejections) } }),
      }),
    );
  },

  decodeResponse(bytes) {
    const response = fromBinary(DeltaDiscoveryResponseSchema, bytes);
    return {
      typeUrl: response.typeUrl,
      versionInfo: response.systemVersionInfo,
      nonce: response.nonce,
      resources: response.resources.map((resource) => ({
        name: resource.name,
        version: resource.version,
        typeUrl: resource.resource?.typeUrl ?? response.typeUrl,
        value: resource.resource?.value ?? new Uint8Array(),
      })),
      removedNames: response.removedResources,
      isDelta: true,
      controlPlane: response.controlPlane?.identifier,
    };
  },

  recordApplied(state, update, rejections) {
    const refused = new Set(rejections.map(({ name }) => name));
    for (const name of update.removedNames) state.resourceVersions.delete(name);
    for (const { name, version } of update.resources) {
      // A refused resource keeps the version that is still in use, so that a new stream brings it again.
      if (name !== undefined && !refused.has(name)) state.resourceVersions.set(name, version);
    }
    if (rejections.length === 0) state.acceptedVersionInfo = update.versionInfo;
  },
};
