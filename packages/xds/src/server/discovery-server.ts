import {
  type Server,
  type ServerDuplexStream,
  type ServerOptions,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { type Clock, type Log, messageOf, sleep } from '@meltemi/base';
import type { StreamAuthenticator, StreamCredentials } from './authentication.ts';
import { deltaProtocol } from './delta-protocol.ts';
import { type DiscoveryObserver, silentDiscoveryObserver } from './discovery-observer.ts';
import type { DiscoveryProvider, DiscoverySession } from './discovery-provider.ts';
import type { DiscoveryQuestions } from './discovery-questions.ts';
import { DiscoveryStream, type DiscoveryStreamStatus } from './discovery-stream.ts';
import { type DistributionResult, findLaggards, waitForDistribution } from './distribution.ts';
import type { AdsProtocol } from './protocol.ts';
import { sotwProtocol } from './sotw-protocol.ts';
import type { DirtyNames } from './subscription.ts';

const ADS_SERVICE = 'envoy.service.discovery.v3.AggregatedDiscoveryService';
const KEEPALIVE_INTERVAL_MS = 30_000;
const KEEPALIVE_TIMEOUT_MS = 10_000;
const MAX_REQUEST_BYTES = 4 * 1024 * 1024;
/** A proxy has one stream for discovery and now and then one for a certificate; each costs a token review. */
const MAX_STREAMS_PER_CONNECTION = 1000;
/** A connection without any stream is of no use to anybody but an attacker. */
const MAX_IDLE_MS = 300_000;

/** How long a client may leave a response unread before it is cut off. */
export const DEFAULT_DRAIN_TIMEOUT_MS = 30_000;

/** Options that a gRPC server needs to serve ADS: without keepalive a vanished client holds its stream for ever, and nobody may hold many. */
export const ADS_SERVER_OPTIONS: ServerOptions = {
  'grpc.keepalive_time_ms': KEEPALIVE_INTERVAL_MS,
  'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
  'grpc.max_receive_message_length': MAX_REQUEST_BYTES,
  'grpc.max_concurrent_streams': MAX_STREAMS_PER_CONNECTION,
  'grpc.max_connection_idle_ms': MAX_IDLE_MS,
};

/** What a discovery server is made of. */
export interface DiscoveryServerOptions<Session extends DiscoverySession> {
  readonly provider: DiscoveryProvider<Session>;
  readonly clock: Clock;
  readonly log: Log;
  /** Default: nobody is asked who they are. */
  readonly authenticate?: StreamAuthenticator;
  readonly observer?: DiscoveryObserver;
  /** Default: there is nothing to ask. */
  readonly questions?: DiscoveryQuestions;
  /** `control_plane.identifier` of responses: JSON naming this process. */
  readonly controlPlane?: string;
  /** Default {@link DEFAULT_DRAIN_TIMEOUT_MS}. */
  readonly drainTimeoutMs?: number;
}

/** Serves ADS, delta and state of the world, on any number of gRPC servers. */
export interface DiscoveryServer<Session extends DiscoverySession> extends Disposable {
  /** Adds the service to a gRPC server that has not started. */
  addTo(server: Server): void;
  /**
   * Sends every client what changed for it.
   *
   * @param advance Moves a session on, and names what may differ for its client.
   */
  push(advance: (session: Session) => ReadonlyMap<string, DirtyNames>): void;
  /** Every client that has introduced itself. */
  statuses(): readonly DiscoveryStreamStatus[];
  /**
   * Waits until every connected client has accepted snapshot `number`, in every type that it watches.
   *
   * @returns Who lags when the deadline passes.
   */
  waitForDistribution(number: number, deadlineMs: number, signal?: AbortSignal): Promise<DistributionResult>;
  /**
   * Sends the clients away one after the other, so that they do not all come to another server at once. New streams
   * are turned away from now on.
   *
   * @param windowMs Spread of the last one; with few clients it takes less.
   */
  drain(windowMs: number): Promise<void>;
}

/** Pause between two clients that are sent away, where the window allows for it. */
const DRAIN_SPACING_MS = 20;
const LEAVING = 'the control plane is shutting down';

const asIs = (bytes: Buffer): Buffer => bytes;

function methodDefinition(name: string): ServiceDefinition[string] {
  return {
    path: `/${ADS_SERVICE}/${name}`,
    requestStream: true,
    responseStream: true,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  };
}

/** The service with bytes in and bytes out: requests are decoded here, responses are written by hand. */
export const ADS_SERVICE_DEFINITION: ServiceDefinition = {
  StreamAggregatedResources: methodDefinition('StreamAggregatedResources'),
  DeltaAggregatedResources: methodDefinition('DeltaAggregatedResources'),
};

/** Creates a server; it holds no socket of its own. */
export function createDiscoveryServer<Session extends DiscoverySession>(
  options: DiscoveryServerOptions<Session>,
): DiscoveryServer<Session> {
  const { provider, clock, log, observer = silentDiscoveryObserver } = options;
  const streams = new Set<DiscoveryStream<Session>>();
  const progressListeners = new Set<() => void>();
  const unflushed = new Set<DiscoveryStream<Session>>();
  let connectionCount = 0;
  let flushScheduled = false;
  let isDraining = false;

  const statuses = (): DiscoveryStreamStatus[] =>
    [...streams].map((stream) => stream.status()).filter((entry) => entry !== undefined);
  const onProgress = (): void => {
    for (const listener of progressListeners) listener();
  };

  const serve = async (call: ServerDuplexStream<Buffer, Buffer>, protocol: AdsProtocol): Promise<void> => {
    // Bytes that arrive while the caller is being authenticated wait in the paused stream.
    call.on('error', (error: unknown) => log.debug('A discovery stream failed', { error: messageOf(error) }));
    const identity = await (options.authenticate?.(credentialsOf(call)) ??
      Promise.resolve({ ok: true as const, value: undefined }));
    if (!identity.ok) {
      call.emit('error', { code: status.UNAUTHENTICATED, details: identity.error });
      return;
    }
    if (call.cancelled) return;
    if (isDraining) return void call.emit('error', { code: status.UNAVAILABLE, details: LEAVING });
    const stream = new DiscoveryStream<Session>({
      call,
      protocol,
      identity: identity.value,
      connectionId: `${call.getPeer()}-${++connectionCount}`,
      open: (client) => {
        const session = provider.open(client);
        return session.ok ? session.value : session.error;
      },
      clock,
      log,
      observer,
      questions: options.questions,
      controlPlane: options.controlPlane ?? '{"Component":"meltemi"}',
      drainTimeoutMs: options.drainTimeoutMs ?? DEFAULT_DRAIN_TIMEOUT_MS,
      onProgress,
    });
    streams.add(stream);
    const onEnd = (): void => {
      if (!streams.delete(stream)) return;
      unflushed.delete(stream);
      stream.dispose();
      onProgress();
    };
    call.on('end', () => {
      call.end();
      onEnd();
    });
    call.on('cancelled', onEnd);
    call.on('error', onEnd);
    call.on('close', onEnd);
  };

  const handle =
    (protocol: AdsProtocol) =>
    (call: ServerDuplexStream<Buffer, Buffer>): void => {
      serve(call, protocol).catch((error: unknown) => {
        log.error('Cannot serve a discovery stream', { error: messageOf(error) });
        call.emit('error', { code: status.INTERNAL, details: 'internal error; see the log of the control plane' });
      });
    };

  /** One client at a time, so that requests and ACKs are served between two clients of a large push. */
  const flushNext = (): void => {
    const [stream] = unflushed;
    if (stream === undefined) {
      flushScheduled = false;
      onProgress();
      return;
    }
    unflushed.delete(stream);
    try {
      stream.flush();
    } catch (error) {
      log.error('Cannot push to a proxy', { error: messageOf(error) });
      stream.close(status.INTERNAL, 'internal error; see the log of the control plane');
    }
    setImmediate(flushNext);
  };

  return {
    addTo(server) {
      // Each protocol reads its own requests; the handler table of gRPC does not carry that type.
      const implementation: UntypedServiceImplementation = {
        StreamAggregatedResources: handle(sotwProtocol as AdsProtocol),
        DeltaAggregatedResources: handle(deltaProtocol as AdsProtocol),
      };
      server.addService(ADS_SERVICE_DEFINITION, implementation);
    },
    push(advance) {
      for (const stream of streams) {
        if (stream.session === undefined) continue;
        stream.markDirty(advance(stream.session));
        unflushed.add(stream);
      }
      if (flushScheduled) return;
      flushScheduled = true;
      setImmediate(flushNext);
    },
    statuses,
    waitForDistribution: (number, deadlineMs, signal) =>
      waitForDistribution({
        laggards: () => findLaggards(statuses(), number),
        isComplete: () => ![...streams].some((stream) => stream.lagsBehind(number)),
        onProgress(listener) {
          progressListeners.add(listener);
          return () => void progressListeners.delete(listener);
        },
        clock,
        deadlineMs,
        signal,
      }),
    async drain(windowMs) {
      isDraining = true;
      const leaving = [...streams];
      const spacingMs = Math.min(DRAIN_SPACING_MS, windowMs / Math.max(1, leaving.length));
      const startedMs = clock.monotonicMs();
      for (const [index, stream] of leaving.entries()) {
        const dueMs = startedMs + index * spacingMs;
        if (dueMs > clock.monotonicMs()) await sleep(clock, dueMs - clock.monotonicMs());
        stream.close(status.UNAVAILABLE, LEAVING);
      }
    },
    [Symbol.dispose]() {
      for (const stream of streams) stream.close(status.UNAVAILABLE, LEAVING);
      streams.clear();
    },
  };
}

function credentialsOf(call: ServerDuplexStream<Buffer, Buffer>): StreamCredentials {
  const first = (key: string): string | undefined => {
    const [value] = call.metadata.get(key);
    return value === undefined ? undefined : value.toString();
  };
  const certificate = call.getAuthContext().sslPeerCertificate;
  return {
    authorization: first('authorization'),
    clusterId: first('clusterid'),
    peerCertificate: certificate?.raw,
    peerAddress: call.getPeer(),
  };
}
