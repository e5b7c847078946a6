import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { type ChannelOptions, Client, type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js';
import {
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from '@meltemi/xds/types/envoy/service/discovery/v3/discovery_pb.js';

const SERVICE = '/envoy.service.discovery.v3.AggregatedDiscoveryService';
const DEADLINE_MS = 5_000;
const asIs = (bytes: Buffer): Buffer => bytes;

/** A client that a test drives message by message. */
export interface AdsTestClient<Request, Response> extends Disposable {
  send(request: Request): void;
  /** The next response, within five seconds. */
  next(): Promise<Response>;
  /** The status with which the server ended the stream. */
  ended(): Promise<{ readonly code: number; readonly details: string }>;
}

/** A state-of-the-world client. */
export type SotwTestClient = AdsTestClient<MessageInitShape<typeof DiscoveryRequestSchema>, DiscoveryResponse>;
/** A delta client. */
export type DeltaTestClient = AdsTestClient<
  MessageInitShape<typeof DeltaDiscoveryRequestSchema>,
  DeltaDiscoveryResponse
>;

/** Connects to a server on this machine; plaintext. */
export function connectSotw(port: number, metadata: Readonly<Record<string, string>> = {}): SotwTestClient {
  return connect(port, metadata, {
    method: 'StreamAggregatedResources',
    encode: (request) => toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, request)),
    decode: (bytes) => fromBinary(DiscoveryResponseSchema, bytes),
  });
}

/** Connects to a server on this machine; plaintext. */
export function connectDelta(port: number, metadata: Readonly<Record<string, string>> = {}): DeltaTestClient {
  return connect(port, metadata, {
    method: 'DeltaAggregatedResources',
    encode: (request) => toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, request)),
    decode: (bytes) => fromBinary(DeltaDiscoveryResponseSchema, bytes),
  });
}

interface Wire<Request, Response> {
  readonly method: string;
  encode(request: Request): Uint8Array;
  decode(bytes: Buffer): Response;
}

function connect<Request, Response>(
  port: number,
  headers: Readonly<Record<string, string>>,
  wire: Wire<Request, Response>,
): AdsTestClient<Request, Response> {
  const options: ChannelOptions = { 'grpc.use_local_subchannel_pool': 1 };
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), options);
  const metadata = new Metadata();
  for (const [key, value] of Object.entries(headers)) metadata.set(key, value);
  const call: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(
    `${SERVICE}/${wire.method}`,
    asIs,
    asIs,
    metadata,
  );
  const responses: Response[] = [];
  const waiting: { resolve(response: Response): void; reject(error: Error): void }[] = [];
  call.on('data', (bytes: Buffer) => {
    const response = wire.decode(bytes);
    const waiter = waiting.shift();
    if (waiter === undefined) responses.push(response);
    else waiter.resolve(response);
  });
  const ended = new Promise<{ code: number; details: string }>((resolve) => {
    call.on('status', ({ code, details }) => {
      for (const { reject } of waiting.splice(0)) reject(new Error(`The stream ended with ${code}: ${details}`));
      resolve({ code, details });
    });
  });
  // The status tells the same; an error without a listener would end the test run.
  call.on('error', () => {});
  return {
    send: (request) => void call.write(Buffer.from(wire.encode(request))),
    next() {
      const ready = responses.shift();
      if (ready !== undefined) return Promise.resolve(ready);
      return within(new Promise((resolve, reject) => waiting.push({ resolve, reject })), 'No response came');
    },
    ended: () => within(ended, 'The server did not end the stream'),
    [Symbol.dispose]() {
      call.cancel();
      client.close();
    },
  };
}

async function within<Value>(promise: Promise<Value>, failure: string): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${failure} within ${DEADLINE_MS} ms`)), DEADLINE_MS);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
