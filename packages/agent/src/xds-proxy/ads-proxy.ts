import { rm } from 'node:fs/promises';
import {
  Client,
  type ClientDuplexStream,
  Server,
  type ServerDuplexStream,
  type ServiceDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { type Log, messageOf } from '@meltemi/base';
import {
  CONTROL_PLANE_CHANNEL_OPTIONS,
  type ControlPlaneAccess,
  explainFailure,
  readCredentials,
  resolveTarget,
} from '../identity/control-plane-channel.ts';
import { bindUnixSocket } from '../unix-socket-server.ts';
import type { StreamSubscription, SubscribeStream } from './stream-subscription.ts';

/** What {@link startAdsProxy} works with. */
export interface AdsProxyOptions {
  readonly access: ControlPlaneAccess;
  readonly socketPath: string;
  /** Something that the agent itself subscribes to on the proxy's stream. */
  readonly subscribe?: SubscribeStream | undefined;
  readonly log: Log;
}

/** A running proxy of the discovery protocol. */
export interface AdsProxy extends AsyncDisposable {
  /** Whether a stream to the control plane has answered since the proxy's stream was opened. */
  isConnected(): boolean;
}

type Downstream = ServerDuplexStream<Buffer, Buffer>;
type Upstream = ClientDuplexStream<Buffer, Buffer>;

const SERVICE = 'envoy.service.discovery.v3.AggregatedDiscoveryService';

const passBytes = (bytes: Buffer): Buffer => bytes;

function method(name: string): ServiceDefinition[string] {
  return {
    path: `/${SERVICE}/${name}`,
    requestStream: true,
    responseStream: true,
    requestSerialize: passBytes,
    requestDeserialize: passBytes,
    responseSerialize: passBytes,
    responseDeserialize: passBytes,
  };
}

const DEFINITION: ServiceDefinition = {
  streamAggregatedResources: method('StreamAggregatedResources'),
  deltaAggregatedResources: method('DeltaAggregatedResources'),
};

/**
 * Carries the proxy's discovery streams to the control plane, adding the workload's credentials.
 *
 * Messages pass as bytes. Each stream of the proxy has one of its own to the control plane, on a fresh connection: when
 * that fails, the proxy's stream ends with the same status, and the proxy comes again after its back-off.
 */
export async function startAdsProxy({ access, socketPath, subscribe, log }: AdsProxyOptions): Promise<AdsProxy> {
  const server = new Server(CONTROL_PLANE_CHANNEL_OPTIONS);
  let active: { close(): void } | undefined;
  let isConnected = false;

  const serve = (path: string) => (downstream: Downstream) => {
    // A proxy has one stream: a new one means that it has given up the old one, even if that was not seen to close.
    active?.close();
    isConnected = false;
    const relay = relayStream(downstream, { access, path, log, subscribe, onAnswer: () => (isConnected = true) });
    active = relay;
    void relay.closed.then(() => {
      if (active !== relay) return;
      active = undefined;
      isConnected = false;
    });
  };
  server.addService(
    DEFINITION,
    Object.fromEntries(Object.entries(DEFINITION).map(([name, { path }]) => [name, serve(path)])),
  );
  await bindUnixSocket(server, socketPath);
  return {
    isConnected: () => isConnected,
    async [Symbol.asyncDispose]() {
      active?.close();
      server.forceShutdown();
      await rm(socketPath, { force: true });
    },
  };
}

interface RelayOptions {
  readonly access: ControlPlaneAccess;
  readonly path: string;
  readonly log: Log;
  readonly subscribe: SubscribeStream | undefined;
  readonly onAnswer: () => void;
}

function relayStream(downstream: Downstream, options: RelayOptions): { close(): void; readonly closed: Promise<void> } {
  const { access, log } = options;
  const closed = Promise.withResolvers<void>();
  let client: Client | undefined;
  let upstream: Upstream | undefined;
  let isOver = false;
  const protocol = options.path.includes('/Delta') ? 'delta' : 'sotw';
  const subscription = options.subscribe?.(protocol, (request) => void upstream?.write(request));

  const finish = (failure?: Pick<ServiceError, 'code' | 'details'>): void => {
    if (isOver) return;
    isOver = true;
    subscription?.close();
    upstream?.cancel();
    client?.close();
    if (failure === undefined) downstream.end();
    else downstream.emit('error', failure);
    closed.resolve();
  };
  // The proxy sends its first requests at once; they wait in this stream until the control plane's is open.
  downstream.pause();
  downstream.on('cancelled', () => finish());
  downstream.on('close', () => finish());
  downstream.on('end', () => finish());
  downstream.on('error', () => finish());

  openUpstream(options).then(
    (opened) => {
      if (isOver) {
        // How it ends is nobody's business any more; unheard, the error would end the agent.
        opened.stream.on('error', () => {});
        opened.client.close();
        return;
      }
      ({ client, stream: upstream } = opened);
      joinStreams(downstream, opened.stream, { subscription, onAnswer: options.onAnswer });
      opened.stream.on('error', (error: ServiceError) => {
        if (!isOver)
          log.warn('Stream to the control plane failed', {
            address: access.address,
            error: explainFailure(error.details || messageOf(error), access),
          });
        finish({ code: error.code, details: error.details });
      });
      opened.stream.on('end', () =>
        finish({ code: status.UNAVAILABLE, details: 'the control plane closed the stream' }),
      );
    },
    (error: unknown) => {
      log.warn('Cannot open a stream to the control plane', { address: access.address, error: messageOf(error) });
      finish({ code: status.UNAVAILABLE, details: messageOf(error) });
    },
  );
  return { close: () => finish(), closed: closed.promise };
}

async function openUpstream({ access, path }: RelayOptions): Promise<{ client: Client; stream: Upstream }> {
  const { channel, metadata } = await readCredentials(access);
  const { target, options } = await resolveTarget(access);
  const client = new Client(target, channel, options);
  return { client, stream: client.makeBidiStreamRequest(path, passBytes, passBytes, metadata) };
}

/** Copies messages both ways; a side that does not drain stops the other one from being read. */
function joinStreams(
  downstream: Downstream,
  upstream: Upstream,
  {
    subscription,
    onAnswer,
  }: Pick<RelayOptions, 'onAnswer'> & { readonly subscription: StreamSubscription | undefined },
): void {
  downstream.on('data', (request: Buffer) => {
    const own = subscription?.afterRequest(request) ?? [];
    const isDrained = upstream.write(request);
    for (const message of own) upstream.write(message);
    if (isDrained) return;
    downstream.pause();
    upstream.once('drain', () => downstream.resume());
  });
  upstream.on('data', (response: Buffer) => {
    onAnswer();
    let answer: readonly Buffer[] | undefined;
    try {
      answer = subscription?.onResponse(response);
    } catch (error) {
      const details = `a response cannot be read: ${messageOf(error)}`;
      return void upstream.emit('error', Object.assign(new Error(details), { code: status.INTERNAL, details }));
    }
    if (answer !== undefined) return answer.forEach((message) => upstream.write(message));
    if (downstream.write(response)) return;
    upstream.pause();
    downstream.once('drain', () => upstream.resume());
  });
  downstream.resume();
}
