import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { messageOf } from '@meltemi/base';
import { TYPE_URLS } from '@meltemi/xds';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '@meltemi/xds/types/envoy/service/discovery/v3/discovery_pb.js';
import { readWireString } from './wire-type.ts';

/** A subscription of the agent's own on a stream that is otherwise its proxy's. One per stream. */
export interface StreamSubscription {
  /** @returns What to send to the control plane after a request of the proxy. */
  afterRequest(request: Buffer): readonly Buffer[];
  /** @returns The acknowledgement, when the response is the agent's: the proxy must not see it then. */
  onResponse(response: Buffer): Buffer | undefined;
}

/** Makes the subscription of a new stream. */
export type SubscribeStream = (protocol: 'sotw' | 'delta') => StreamSubscription;

/** What an agent asks for on its proxy's stream. */
export interface SubscriberOptions<Resource> {
  readonly typeUrl: string;
  /** In words, for the control plane's log. */
  readonly what: string;
  readonly decode: (bytes: Uint8Array) => Resource;
  /** Called with all resources of the type, by name, after each response. */
  readonly onChange: (resources: ReadonlyMap<string, Resource>) => void;
}

/** Numbers of the field `type_url`. */
const TYPE_FIELD = { sotwRequest: 4, deltaRequest: 2, response: 4 } as const;

/** Subscribes to all of a type, once the proxy asks for its listeners: it has introduced itself on the stream by then. */
export function createSubscriber<Resource>(options: SubscriberOptions<Resource>): SubscribeStream {
  const { typeUrl } = options;
  return (protocol) => {
    const isDelta = protocol === 'delta';
    let isSubscribed = false;
    const received = new Map<string, Resource>();
    const apply = isDelta ? applyDelta : applySotw;
    return {
      afterRequest(request) {
        if (isSubscribed) return [];
        const asked = readWireString(request, isDelta ? TYPE_FIELD.deltaRequest : TYPE_FIELD.sotwRequest);
        if (asked !== TYPE_URLS.listener) return [];
        isSubscribed = true;
        const bytes = isDelta
          ? toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, { typeUrl }))
          : toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, { typeUrl }));
        return [Buffer.from(bytes)];
      },
      onResponse(response) {
        if (readWireString(response, TYPE_FIELD.response) !== typeUrl) return undefined;
        return apply(response, received, options);
      },
    };
  };
}

/** Several subscriptions as one. */
export function joinSubscribers(subscribers: readonly SubscribeStream[]): SubscribeStream {
  return (protocol) => {
    const subscriptions = subscribers.map((subscribe) => subscribe(protocol));
    return {
      afterRequest: (request) => subscriptions.flatMap((subscription) => subscription.afterRequest(request)),
      onResponse(response) {
        for (const subscription of subscriptions) {
          const acknowledgement = subscription.onResponse(response);
          if (acknowledgement !== undefined) return acknowledgement;
        }
        return undefined;
      },
    };
  };
}

/** The whole state: what is not in it is gone. */
function applySotw<Resource>(
  bytes: Buffer,
  received: Map<string, Resource>,
  { typeUrl, what, decode, onChange }: SubscriberOptions<Resource>,
): Buffer {
  const response = fromBinary(DiscoveryResponseSchema, bytes);
  const { versionInfo, nonce: responseNonce } = response;
  const problem = attempt(what, () => {
    const resources = response.resources.map(({ value }) => decode(value));
    received.clear();
    for (const [index, resource] of resources.entries()) received.set(String(index), resource);
    onChange(received);
  });
  const request = create(DiscoveryRequestSchema, {
    typeUrl,
    responseNonce,
    ...(problem === undefined ? { versionInfo } : { errorDetail: { code: INVALID_ARGUMENT, message: problem } }),
  });
  return Buffer.from(toBinary(DiscoveryRequestSchema, request));
}

function applyDelta<Resource>(
  bytes: Buffer,
  received: Map<string, Resource>,
  { typeUrl, what, decode, onChange }: SubscriberOptions<Resource>,
): Buffer {
  const response = fromBinary(DeltaDiscoveryResponseSchema, bytes);
  const problem = attempt(what, () => {
    const resources = response.resources.map(
      ({ name, resource }) => [name, decode(resource?.value ?? new Uint8Array())] as const,
    );
    for (const name of response.removedResources) received.delete(name);
    for (const [name, resource] of resources) received.set(name, resource);
    onChange(received);
  });
  const request = create(DeltaDiscoveryRequestSchema, {
    typeUrl,
    responseNonce: response.nonce,
    ...(problem === undefined ? {} : { errorDetail: { code: INVALID_ARGUMENT, message: problem } }),
  });
  return Buffer.from(toBinary(DeltaDiscoveryRequestSchema, request));
}

/** `google.rpc.Code`. */
const INVALID_ARGUMENT = 3;

function attempt(what: string, run: () => void): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return `${what} cannot be read: ${messageOf(error)}`;
  }
}
