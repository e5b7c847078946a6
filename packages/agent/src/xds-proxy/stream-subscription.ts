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
  /** @returns What to answer, when the response is the agent's: the proxy must not see it then. */
  onResponse(response: Buffer): readonly Buffer[] | undefined;
  /** The stream has ended. */
  close(): void;
}

/**
 * Makes the subscription of a new stream.
 *
 * @param send Sends a request to the control plane at any time after the first.
 */
export type SubscribeStream = (protocol: 'sotw' | 'delta', send: (request: Buffer) => void) => StreamSubscription;

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

/** Whether a response is of a type. */
export function isOfType(response: Buffer, typeUrl: string): boolean {
  return readWireString(response, TYPE_FIELD.response) === typeUrl;
}

/**
 * Finds the moment for the agent's own requests on a stream: when the proxy asks for its listeners, it has introduced itself.
 *
 * @returns A function of the proxy's requests that is true once.
 */
export function createIntroduction(protocol: 'sotw' | 'delta'): (request: Buffer) => boolean {
  const field = protocol === 'delta' ? TYPE_FIELD.deltaRequest : TYPE_FIELD.sotwRequest;
  let isOver = false;
  return (request) => {
    if (isOver || readWireString(request, field) !== TYPE_URLS.listener) return false;
    isOver = true;
    return true;
  };
}

/** Subscribes to all of a type. */
export function createSubscriber<Resource>(options: SubscriberOptions<Resource>): SubscribeStream {
  const { typeUrl } = options;
  return (protocol) => {
    const isDelta = protocol === 'delta';
    const introduces = createIntroduction(protocol);
    const received = new Map<string, Resource>();
    const apply = isDelta ? applyDelta : applySotw;
    return {
      afterRequest(request) {
        if (!introduces(request)) return [];
        const bytes = isDelta
          ? toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, { typeUrl }))
          : toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, { typeUrl }));
        return [Buffer.from(bytes)];
      },
      onResponse(response) {
        return isOfType(response, typeUrl) ? [apply(response, received, options)] : undefined;
      },
      close: () => {},
    };
  };
}

/** Several subscriptions as one. */
export function joinSubscribers(subscribers: readonly SubscribeStream[]): SubscribeStream {
  return (protocol, send) => {
    const subscriptions = subscribers.map((subscribe) => subscribe(protocol, send));
    return {
      afterRequest: (request) => subscriptions.flatMap((subscription) => subscription.afterRequest(request)),
      onResponse(response) {
        for (const subscription of subscriptions) {
          const answer = subscription.onResponse(response);
          if (answer !== undefined) return answer;
        }
        return undefined;
      },
      close: () => subscriptions.forEach((subscription) => subscription.close()),
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
