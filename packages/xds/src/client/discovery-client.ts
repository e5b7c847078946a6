import { type Clock, type ClockTimer, createBackoff, type Log, messageOf, type Random } from '@meltemi/base';
import type { Node } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import type { ApplyUpdate, ResourceRejection, ResourceUpdate } from './resource-update.ts';
import type { DiscoveryService, DiscoveryStream, DiscoveryTransport } from './transport.ts';
import { createTypeState, forgetStream, type TypeState, type WILDCARD } from './type-state.ts';
import { rejectionText, type XdsWire } from './wire.ts';

/** Settings of {@link createDiscoveryClient}. */
export interface DiscoveryClientOptions {
  readonly transport: DiscoveryTransport;
  readonly wire: XdsWire;
  readonly service: DiscoveryService;
  /** Who we are; sent in the first message of each stream only. */
  readonly node: Node;
  readonly apply: ApplyUpdate;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /**
   * Requests of different types leave in this order: clusters before their endpoints, listeners before their routes.
   * Types that are not listed follow.
   */
  readonly typeOrder: readonly string[];
  /** Called when the stream's state changes, and after each response was judged. */
  readonly onEvent?: (event: DiscoveryEvent) => void;
}

/** What counters are made from. */
export type DiscoveryEvent =
  | { readonly kind: 'connected' | 'disconnected' }
  | {
      readonly kind: 'response';
      readonly update: ResourceUpdate;
      readonly rejections: readonly ResourceRejection[];
    };

/** A client of one discovery stream that reconnects for ever and never forgets what it holds. */
export interface DiscoveryClient {
  /** Replaces what is wanted of one type; the difference is told to the server in the same turn. */
  setInterest(typeUrl: string, wanted: ReadonlySet<string> | typeof WILDCARD): void;
  /** Opens the stream. Does not wait for it. */
  start(): void;
  isConnected(): boolean;
  close(): void;
}

/** @see Envoy, api/envoy/config/core/v3/grpc_service.proto retry policy of xDS streams: 500 ms, doubled up to 30 s, full jitter */
const RECONNECT_BASE_MS = 500;
const RECONNECT_MAX_MS = 30_000;

/** Creates a client of an aggregated (or secret) discovery stream. */
export function createDiscoveryClient(options: DiscoveryClientOptions): DiscoveryClient {
  return new StreamingDiscoveryClient(options);
}

class StreamingDiscoveryClient implements DiscoveryClient {
  readonly #options: DiscoveryClientOptions;
  readonly #states = new Map<string, TypeState>();
  readonly #backoff: ReturnType<typeof createBackoff>;
  #stream: DiscoveryStream | undefined;
  /** Grows with each stream, so that a verdict of an earlier stream is not sent on a later one. */
  #streamId = 0;
  #isNodeSent = false;
  #isConnected = false;
  #isClosed = false;
  #isFlushScheduled = false;
  #reconnectTimer: ClockTimer | undefined;
  readonly #pending: { readonly update: ResourceUpdate; readonly streamId: number }[] = [];
  #isApplying = false;

  constructor(options: DiscoveryClientOptions) {
    this.#options = options;
    this.#backoff = createBackoff({ baseMs: RECONNECT_BASE_MS, maxMs: RECONNECT_MAX_MS, random: options.random });
  }

  setInterest(typeUrl: string, wanted: ReadonlySet<string> | typeof WILDCARD): void {
    this.#state(typeUrl).wanted = wanted === '*' ? wanted : new Set(wanted);
    this.#scheduleFlush();
  }

  start(): void {
    if (!this.#isClosed && this.#stream === undefined) this.#open();
  }

  isConnected(): boolean {
    return this.#isConnected;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#reconnectTimer?.cancel();
    this.#pending.length = 0;
    this.#stream?.cancel();
    this.#stream = undefined;
    this.#options.transport.close();
  }

  #state(typeUrl: string): TypeState {
    let state = this.#states.get(typeUrl);
    if (state === undefined) {
      state = createTypeState(typeUrl);
      this.#states.set(typeUrl, state);
    }
    return state;
  }

  #open(): void {
    const { transport, wire, service } = this.#options;
    this.#streamId += 1;
    const streamId = this.#streamId;
    this.#isNodeSent = false;
    for (const state of this.#states.values()) forgetStream(state);
    this.#stream = transport.open(wire.methods[service], {
      onMessage: (bytes) => this.#onMessage(bytes, streamId),
      onClosed: (reason) => this.#onClosed(reason, streamId),
    });
    this.#flush();
  }

  #onClosed(reason: string, streamId: number): void {
    if (this.#isClosed || streamId !== this.#streamId) return;
    this.#stream = undefined;
    const wasConnected = this.#isConnected;
    this.#isConnected = false;
    const delayMs = this.#backoff.nextMs();
    this.#options.log.warn(wasConnected ? 'control plane stream closed' : 'cannot reach the control plane', {
      reason,
      reconnectInMs: Math.round(delayMs),
    });
    if (wasConnected) this.#options.onEvent?.({ kind: 'disconnected' });
    this.#reconnectTimer = this.#options.clock.setTimer(() => {
      if (!this.#isClosed) this.#open();
    }, delayMs);
  }

  #onMessage(bytes: Uint8Array, streamId: number): void {
    if (streamId !== this.#streamId) return;
    if (!this.#isConnected) {
      this.#isConnected = true;
      this.#options.onEvent?.({ kind: 'connected' });
    }
    this.#backoff.reset();
    let update: ResourceUpdate;
    try {
      update = this.#options.wire.decodeResponse(bytes);
    } catch (error) {
      this.#options.log.error('unreadable discovery response', { error: messageOf(error) });
      this.#stream?.cancel();
      this.#onClosed('the response is not a discovery response', streamId);
      return;
    }
    const state = this.#state(update.typeUrl);
    state.isHandlingResponse = true;
    state.nonce = update.nonce;
    this.#pending.push({ update, streamId });
    if (!this.#isApplying) void this.#applyPending();
  }

  /** Applies responses one after the other; never rejects. */
  async #applyPending(): Promise<void> {
    this.#isApplying = true;
    try {
      for (let next = this.#pending.shift(); next !== undefined; next = this.#pending.shift()) {
        const rejections = await this.#applyOne(next.update);
        if (this.#isClosed) return;
        this.#answer(next.update, rejections, next.streamId);
      }
    } finally {
      this.#isApplying = false;
    }
    this.#flush();
  }

  async #applyOne(update: ResourceUpdate): Promise<readonly ResourceRejection[]> {
    try {
      return await this.#options.apply(update);
    } catch (error) {
      this.#options.log.error('applying a discovery response failed', {
        type: update.typeUrl,
        error: messageOf(error),
      });
      return [{ name: '', message: messageOf(error) }];
    }
  }

  #answer(update: ResourceUpdate, rejections: readonly ResourceRejection[], streamId: number): void {
    const { wire, log, onEvent } = this.#options;
    const state = this.#state(update.typeUrl);
    wire.recordApplied(state, update, rejections);
    if (rejections.length > 0) log.warn('rejected', { reason: rejectionText(update.typeUrl, rejections) });
    onEvent?.({ kind: 'response', update, rejections });
    if (streamId !== this.#streamId || this.#stream === undefined) return;
    // A later response of the type is queued already: the verdict on it will carry the names and the nonce.
    state.isHandlingResponse = this.#pending.some((next) => next.update.typeUrl === update.typeUrl);
    this.#stream.send(wire.verdictRequest(state, update, rejections));
    this.#flush();
  }

  #scheduleFlush(): void {
    if (this.#isFlushScheduled) return;
    this.#isFlushScheduled = true;
    queueMicrotask(() => {
      this.#isFlushScheduled = false;
      // While a response is applied its handler may still change what is wanted: one request per type afterwards.
      if (!this.#isApplying) this.#flush();
    });
  }

  #flush(): void {
    const stream = this.#stream;
    if (stream === undefined || this.#isClosed) return;
    for (const state of this.#inOrder()) {
      if (state.isHandlingResponse) continue;
      const node = this.#isNodeSent ? undefined : this.#options.node;
      const request = this.#options.wire.interestRequest(state, node);
      if (request === undefined) continue;
      this.#isNodeSent = true;
      stream.send(request);
    }
  }

  #inOrder(): TypeState[] {
    const rank = (typeUrl: string): number => {
      const index = this.#options.typeOrder.indexOf(typeUrl);
      return index === -1 ? this.#options.typeOrder.length : index;
    };
    return [...this.#states.values()].sort((left, right) => rank(left.typeUrl) - rank(right.typeUrl));
  }
}
