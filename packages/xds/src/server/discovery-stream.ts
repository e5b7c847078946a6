import { type ServerDuplexStream, status } from '@grpc/grpc-js';
import { type Clock, type ClockTimer, type Log, messageOf } from '@meltemi/base';
import type { EncodedResource } from '../encoded-resource.ts';
import { HEALTH_INFORMATION, PUSH_ORDER, shortTypeName, TYPE_URLS } from '../type-urls.ts';
import { type CallerIdentity, checkNodeIdentity } from './authentication.ts';
import type { DiscoveryObserver } from './discovery-observer.ts';
import type { ConnectedClient, DiscoverySession } from './discovery-provider.ts';
import type { DiscoveryQuestions } from './discovery-questions.ts';
import { parseDiscoveryNode } from './node.ts';
import type { AdsProtocol, AdsRequest } from './protocol.ts';
import { type DirtyNames, Subscription, type SubscriptionStatus } from './subscription.ts';

/** What routes and listeners refer to, and they themselves. */
const REFERRED_TYPES: readonly string[] = [TYPE_URLS.cluster, TYPE_URLS.endpoint];
const REFERRING_TYPES: readonly string[] = [TYPE_URLS.listener, TYPE_URLS.route];

/** A stream as status pages show it. */
export interface DiscoveryStreamStatus {
  readonly client: ConnectedClient;
  readonly protocol: 'sotw' | 'delta';
  /** Unix milliseconds. */
  readonly connectedAtMs: number;
  readonly peerAddress: string;
  /** Number of the snapshot that the client is to have. */
  readonly number: number;
  readonly subscriptions: readonly SubscriptionStatus[];
}

/** What one client may make the server remember; no mesh comes near, but a client may mean harm. */
const MAX_TYPES = 64;
const MAX_REMEMBERED_NAMES = 200_000;

/** What a stream needs of its server. */
export interface DiscoveryStreamOptions<Session extends DiscoverySession> {
  readonly call: ServerDuplexStream<Buffer, Buffer>;
  readonly protocol: AdsProtocol;
  readonly identity: CallerIdentity | undefined;
  readonly connectionId: string;
  readonly open: (client: ConnectedClient) => Session | string;
  readonly clock: Clock;
  readonly log: Log;
  readonly observer: DiscoveryObserver;
  readonly questions: DiscoveryQuestions | undefined;
  /** `control_plane.identifier`. */
  readonly controlPlane: string;
  /** A client that has not taken a response after this long is cut off. */
  readonly drainTimeoutMs: number;
  /** The client's state changed: an ACK, a NACK, a new subscription. */
  readonly onProgress: () => void;
}

/**
 * One ADS stream: reads requests, keeps one subscription per type, and sends what each client lacks.
 *
 * Content is made only when it can be sent, so a slow client costs names, not bytes.
 */
export class DiscoveryStream<Session extends DiscoverySession> {
  readonly #options: DiscoveryStreamOptions<Session>;
  readonly #subscriptions = new Map<string, Subscription>();
  /** Clusters sent whose endpoints the client has yet to be sent: they warm until then. */
  readonly #warmingClusters = new Set<string>();
  /** The last response with endpoints had some that a cluster warms for. */
  #isWarmingInFlight = false;
  readonly #connectedAtMs: number;
  #client: ConnectedClient | undefined;
  #session: Session | undefined;
  #nonceCount = 0;
  #unflushedWrites = 0;
  #drainTimer: ClockTimer | undefined;
  /** Ends with the answer that is being made. */
  #question: AbortController | undefined;
  #closed = false;

  constructor(options: DiscoveryStreamOptions<Session>) {
    this.#options = options;
    this.#connectedAtMs = options.clock.nowMs();
    options.call.on('data', (bytes: Buffer) => this.#onData(bytes));
  }

  /** `undefined` until the client has introduced itself. */
  get session(): Session | undefined {
    return this.#session;
  }

  /** Content may have changed; {@link flush} sends what did. */
  markDirty(dirty: ReadonlyMap<string, DirtyNames>): void {
    for (const [typeUrl, names] of dirty) this.#subscriptions.get(typeUrl)?.markDirty(names);
  }

  /**
   * Sends what can be sent now: additions in push order, and last the removals of what nothing refers to any more.
   *
   * Make before break: routes and listeners wait until the client has taken the clusters and endpoints that they may
   * name, and what is gone stays with the client until it has taken the routes and listeners that no longer name it.
   */
  flush(): void {
    if (this.#closed || this.#session === undefined) return;
    this.#sendPending(this.#session);
    if (this.#releaseRemovals()) this.#sendPending(this.#session);
    this.#options.onProgress();
  }

  #sendPending(session: Session): void {
    for (const subscription of this.#inPushOrder()) {
      if (subscription.isPending && !subscription.isInFlight && !this.#isHeldBack(subscription.typeUrl))
        this.#send(subscription, session);
      subscription.settle(session.number);
    }
  }

  /** @returns Whether there is something to send for it. */
  #releaseRemovals(): boolean {
    const holding = REFERRED_TYPES.flatMap((typeUrl) => this.#subscriptions.get(typeUrl) ?? []).filter(
      ({ holdsRemovals }) => holdsRemovals,
    );
    if (holding.length === 0 || this.#isUnsettled(REFERRING_TYPES)) return false;
    for (const subscription of holding) subscription.releaseRemovals();
    return true;
  }

  /** Whether the client has yet to be sent, or to take, something of these types. */
  #isUnsettled(typeUrls: readonly string[]): boolean {
    return typeUrls.some((typeUrl) => {
      const subscription = this.#subscriptions.get(typeUrl);
      return subscription !== undefined && (subscription.isPending || subscription.isInFlight);
    });
  }

  /** Ends the stream with a gRPC status. */
  close(code: status, details: string): void {
    if (this.#closed) return;
    this.dispose();
    this.#options.call.emit('error', { code, details });
  }

  /** Lets go of everything; the call itself has ended or is being ended. */
  dispose(): void {
    if (!this.#closed && this.#client !== undefined) this.#logGone(this.#client);
    this.#closed = true;
    this.#question?.abort();
    this.#drainTimer?.cancel();
    this.#session?.[Symbol.dispose]();
  }

  /** Whether the client has yet to accept snapshot `number` in some type; cheaper than {@link status}. */
  lagsBehind(number: number): boolean {
    if (this.#session === undefined) return false;
    if (this.#session.number < number) return true;
    for (const subscription of this.#subscriptions.values()) if (subscription.ackedNumber < number) return true;
    return false;
  }

  status(): DiscoveryStreamStatus | undefined {
    if (this.#client === undefined || this.#session === undefined) return undefined;
    return {
      client: this.#client,
      protocol: this.#options.protocol.name,
      connectedAtMs: this.#connectedAtMs,
      peerAddress: this.#options.call.getPeer(),
      number: this.#session.number,
      subscriptions: [...this.#inPushOrder()].map((subscription) => subscription.status()),
    };
  }

  #onData(bytes: Buffer): void {
    if (this.#closed) return;
    try {
      this.#onRequest(this.#options.protocol.decode(bytes));
    } catch (error) {
      this.#options.log.error('Cannot serve a discovery request', { error: messageOf(error) });
      this.close(status.INTERNAL, 'internal error; see the log of the control plane');
    }
  }

  #onRequest(request: AdsRequest): void {
    const { questions } = this.#options;
    if (questions?.handles(request.typeUrl) === true) return this.#onQuestion(questions, request);
    if (this.#session === undefined && !this.#introduce(request)) return;
    if (request.typeUrl === HEALTH_INFORMATION) return this.#onHealth(request);
    const known = this.#subscriptions.get(request.typeUrl);
    const subscription = known ?? new Subscription(request.typeUrl, this.#options.protocol.repeatsAll);
    if (known === undefined) this.#subscriptions.set(request.typeUrl, subscription);
    if (this.#subscriptions.size > MAX_TYPES)
      return this.close(status.RESOURCE_EXHAUSTED, `a client may watch ${MAX_TYPES} types, not more`);
    const outcome = this.#options.protocol.apply(subscription, request, known === undefined);
    if (subscription.rememberedCount > MAX_REMEMBERED_NAMES)
      return this.close(status.RESOURCE_EXHAUSTED, `a client may name ${MAX_REMEMBERED_NAMES} resources, not more`);
    if (outcome === 'unsubscribed') this.#subscriptions.delete(request.typeUrl);
    this.#options.log.debug('Discovery request', {
      proxy: this.#client?.node.proxyId,
      type: shortTypeName(request.typeUrl),
      outcome,
      nonce: request.responseNonce,
      nameCount: subscription.names.size,
    });
    if (outcome === 'rejected') this.#onRejected(request);
    if (outcome === 'stale') this.#options.observer.staleNonce(request.typeUrl);
    if (request.typeUrl === TYPE_URLS.endpoint) this.#forceEndpoints();
    this.flush();
  }

  /** Who asks does not introduce itself: it is no proxy, and waits for nothing else. */
  #onQuestion(questions: DiscoveryQuestions, request: AdsRequest): void {
    const isAcknowledgement = request.responseNonce !== '';
    if (isAcknowledgement) return;
    if (this.#question !== undefined) return this.close(status.RESOURCE_EXHAUSTED, 'ask one question after the other');
    this.#question = new AbortController();
    const { protocol, identity, log } = this.#options;
    const { signal } = this.#question;
    const { typeUrl } = request;
    questions.answer({ typeUrl, names: protocol.namesOf(request), identity, signal }).then(
      (answer) => {
        this.#question = undefined;
        if (this.#closed) return;
        if (answer.ok) this.#sendAnswer(typeUrl, answer.value);
        else this.close(answer.error.code, answer.error.details);
      },
      (error: unknown) => {
        log.error('Cannot answer a question', { type: typeUrl, error: messageOf(error) });
        this.close(status.INTERNAL, 'internal error; see the log of the control plane');
      },
    );
  }

  #sendAnswer(typeUrl: string, resource: EncodedResource): void {
    const { protocol, controlPlane, call } = this.#options;
    const nonce = `answer/${++this.#nonceCount}`;
    const head = { typeUrl, versionInfo: resource.version, nonce, controlPlane };
    // Who does not take an answer is not heard until then: answers would pile up here.
    call.pause();
    this.#write(protocol.encode({ ...head, resources: [resource], removed: [] }), () => call.resume());
  }

  /** Reads the node of the first request. `false` when the stream was closed instead. */
  #introduce(request: AdsRequest): boolean {
    const node = parseDiscoveryNode(request.node);
    if (!node.ok) {
      this.close(status.INVALID_ARGUMENT, node.error);
      return false;
    }
    const allowed = checkNodeIdentity(node.value, this.#options.identity);
    if (!allowed.ok) {
      this.close(status.PERMISSION_DENIED, allowed.error);
      return false;
    }
    const { connectionId, identity } = this.#options;
    const client: ConnectedClient = { connectionId, node: node.value, identity };
    const session = this.#options.open(client);
    if (typeof session === 'string') {
      this.close(status.UNAVAILABLE, session);
      return false;
    }
    this.#client = client;
    this.#session = session;
    this.#options.log.debug('Proxy connected', {
      proxy: node.value.proxyId,
      connection: connectionId,
      cluster: node.value.clusterId,
      protocol: this.#options.protocol.name,
    });
    return true;
  }

  #logGone({ node, connectionId }: ConnectedClient): void {
    const connectedMs = this.#options.clock.nowMs() - this.#connectedAtMs;
    this.#options.log.debug('Proxy gone', { proxy: node.proxyId, connection: connectionId, connectedMs });
  }

  /** Not a subscription: an error in it is the application's, and there is nothing to answer. */
  #onHealth({ errorDetail }: AdsRequest): void {
    const reason = errorDetail === undefined ? {} : { reason: errorDetail.message };
    this.#options.log.info('A proxy told of its application', {
      proxy: this.#client?.node.proxyId,
      isHealthy: errorDetail === undefined,
      ...reason,
    });
  }

  #onRejected(request: AdsRequest): void {
    const { observer, log } = this.#options;
    const error = request.errorDetail?.message ?? '';
    observer.rejected(request.typeUrl, error);
    log.warn('A proxy rejected its configuration', {
      proxy: this.#client?.node.proxyId,
      type: shortTypeName(request.typeUrl),
      error,
    });
  }

  /** Envoy acknowledges clusters once they have warmed, ours once it has asked for their endpoints. */
  #isHeldBack(typeUrl: string): boolean {
    if (!REFERRING_TYPES.includes(typeUrl)) return false;
    return this.#isUnsettled([TYPE_URLS.cluster]) || this.#owesWarmingEndpoints();
  }

  /** Other endpoints hold nobody back: they may change faster than a slow client takes them. */
  #owesWarmingEndpoints(): boolean {
    const endpoints = this.#subscriptions.get(TYPE_URLS.endpoint);
    if (endpoints === undefined) return false;
    if (endpoints.isInFlight && this.#isWarmingInFlight) return true;
    for (const name of this.#warmingClusters) if (endpoints.names.has(name)) return true;
    return false;
  }

  #forceEndpoints(): void {
    const endpoints = this.#subscriptions.get(TYPE_URLS.endpoint);
    if (endpoints === undefined) return;
    endpoints.force(this.#warmingClusters);
  }

  #send(subscription: Subscription, session: Session): void {
    const { protocol, controlPlane, clock, observer, log } = this.#options;
    const view = session.generate(subscription.typeUrl, subscription.namesToGenerate());
    const mayBeReferredTo = REFERRED_TYPES.includes(subscription.typeUrl) && this.#isUnsettled(REFERRING_TYPES);
    const update = subscription.takeUpdate(view, mayBeReferredTo);
    if (update === undefined) return;
    const { typeUrl } = subscription;
    const nonce = `${view.versionInfo}/${++this.#nonceCount}`;
    const bytes = protocol.encode({ typeUrl, versionInfo: view.versionInfo, nonce, controlPlane, ...update });
    subscription.sent({ nonce, number: view.number, versionInfo: view.versionInfo }, clock.nowMs());
    this.#write(bytes);
    observer.pushed(typeUrl, bytes.byteLength);
    log.debug('Push', {
      proxy: this.#client?.node.proxyId,
      type: shortTypeName(typeUrl),
      version: view.versionInfo,
      nonce,
      resourceCount: update.resources.length,
      changedCount: update.changed.length,
      removedCount: update.removed.length,
      bytes: bytes.byteLength,
    });
    if (typeUrl === TYPE_URLS.endpoint) {
      const warmed = [...update.changed, ...update.removed].filter((name) => this.#warmingClusters.delete(name));
      this.#isWarmingInFlight = warmed.length > 0;
    }
    if (typeUrl !== TYPE_URLS.cluster) return;
    for (const name of update.changed) this.#warmingClusters.add(name);
    for (const name of update.removed) this.#warmingClusters.delete(name);
    this.#forceEndpoints();
  }

  #write(bytes: Buffer, onTaken?: () => void): void {
    this.#unflushedWrites++;
    this.#drainTimer ??= this.#options.clock.setTimer(() => this.#onDrainTimeout(), this.#options.drainTimeoutMs);
    // The callback comes when the bytes left for the socket; the writable's own 'drain' counts messages, of which
    // there are never enough to fill it.
    this.#options.call.write(bytes, () => {
      onTaken?.();
      this.#unflushedWrites--;
      this.#drainTimer?.cancel();
      this.#drainTimer = undefined;
      if (this.#unflushedWrites > 0 && !this.#closed)
        this.#drainTimer = this.#options.clock.setTimer(() => this.#onDrainTimeout(), this.#options.drainTimeoutMs);
    });
  }

  #onDrainTimeout(): void {
    this.#options.observer.writeTimedOut();
    this.#options.log.warn('Cut off a proxy that does not read its configuration', {
      proxy: this.#client?.node.proxyId,
    });
    this.close(status.DEADLINE_EXCEEDED, 'the client does not read; connect again');
  }

  *#inPushOrder(): Iterable<Subscription> {
    for (const typeUrl of PUSH_ORDER) {
      const subscription = this.#subscriptions.get(typeUrl);
      if (subscription !== undefined) yield subscription;
    }
    for (const [typeUrl, subscription] of this.#subscriptions) if (!PUSH_ORDER.includes(typeUrl)) yield subscription;
  }
}
