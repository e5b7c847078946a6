import type { Transform } from 'node:stream';
import { messageOf } from '@meltemi/base/pure';
import { HeaderMap } from '../../codec/header-map.ts';
import type { RequestHead, ResponseHead } from '../../codec/message-heads.ts';
import type { RequestSink, ResponseWriter } from '../../codec/streams.ts';
import type { RuntimeFilterOverrides, RuntimeWeightedCluster } from '../../config/runtime-config.ts';
import { encodeGrpcMessage, grpcStatusOfHttp } from '../../decide/local-reply.ts';
import { normalizePath } from '../../decide/path-normalization.ts';
import { isGrpcContentType } from '../../decide/request-view.ts';
import { ResponseFlag } from '../../decide/response-flags.ts';
import { chooseCluster, type RouteDecision } from '../../decide/route-table.ts';
import { stripPort } from '../../decide/virtual-host-match.ts';
import { IdleTimer, type TimerHandle } from '../../network/timers.ts';
import type { AlpnOverride, Cluster } from '../../upstream/cluster.ts';
import type { UpstreamTlsFacts } from '../../upstream/connect.ts';
import type { DownstreamConnection, StreamRecord } from '../stream-record.ts';
import { headerMutator } from './header-mutations.ts';
import type { HttpConnectionManager } from './http-connection-manager.ts';
import type { PeerMetadata } from './peer-metadata.ts';
import { mutateRequestHeaders, removeHopByHop } from './request-headers.ts';
import { finishResponseHeaders } from './response-headers.ts';
import { Router } from './router.ts';

/** A response made here. */
export interface LocalReply {
  readonly status: number;
  readonly body: string;
  /** As in `%RESPONSE_CODE_DETAILS%`. */
  readonly details: string;
  /** Bits of `ResponseFlag`. */
  readonly flags?: number;
  /** Added to the usual ones. */
  readonly headers?: HeaderMap;
  /** gRPC status instead of the one that the HTTP status maps to. */
  readonly grpcStatus?: number;
}

/**
 * One request from its head to its log entry: the downstream half. Filters run here; the upstream half is the {@link Router}.
 *
 * It keeps the route and cluster objects that it found at its start, so that a change of configuration does not reach it.
 */
export class HttpStream implements RequestSink, StreamRecord {
  readonly manager: HttpConnectionManager;
  readonly connection: DownstreamConnection;
  readonly request: RequestHead;
  readonly #writer: ResponseWriter;
  readonly #router: Router;
  readonly #startMs: number;
  readonly startUnixMs: number;
  #idleTimer: IdleTimer | undefined;
  #durationTimer: TimerHandle | undefined;
  #requestTimer: TimerHandle | undefined;
  #nextFilter = 0;
  #headSent = false;
  /** What the response's body goes through. */
  #encoder: Transform | undefined;
  #done = false;
  #tunnel = false;

  route: RouteDecision | undefined;
  weighted: RuntimeWeightedCluster | undefined;
  cluster: Cluster | undefined;
  clusterName: string | undefined;
  alpnOverride: AlpnOverride | undefined;
  downstreamPeer: PeerMetadata | undefined;
  upstreamPeer: PeerMetadata | undefined;
  /** The client sent peer metadata, so it gets ours back. */
  peerAskedForMetadata = false;
  isInternal = false;
  clientIp = '';

  responseHeaders: HeaderMap | undefined;
  responseCode = 0;
  responseCodeDetails = '';
  connectionTerminationDetails = '';
  responseFlags = 0;
  bytesReceived = 0;
  bytesSent = 0;
  durationMs: number | undefined;
  requestDurationMs: number | undefined;
  responseDurationMs: number | undefined;
  upstreamHost = '';
  /** `istio.workload` of the host's endpoint metadata. */
  upstreamWorkload: string | undefined;
  upstreamLocalAddress = '';
  upstreamTls: UpstreamTlsFacts | undefined;
  upstreamTransportFailure = '';
  attemptCount = 0;
  localReplyBody = '';

  constructor(
    manager: HttpConnectionManager,
    connection: DownstreamConnection,
    head: RequestHead,
    writer: ResponseWriter,
  ) {
    this.manager = manager;
    this.connection = connection;
    this.request = head;
    this.#writer = writer;
    const { timers } = manager.context;
    this.#startMs = timers.nowMs();
    this.startUnixMs = timers.unixMs();
    this.#router = new Router(this);
  }

  get routeName(): string {
    return this.route?.route.config.name ?? '';
  }

  get virtualHostName(): string {
    return this.route?.virtualHost.config.name ?? '';
  }

  get upstreamCluster(): string {
    return this.cluster?.config.altStatName ?? this.clusterName ?? '';
  }

  get upstreamClusterRaw(): string {
    return this.clusterName ?? '';
  }

  get isGrpc(): boolean {
    return isGrpcContentType(this.request.headers.get('content-type'));
  }

  /** The response's head has gone out; nothing else can be answered. */
  get hasResponse(): boolean {
    return this.#headSent;
  }

  /** Milliseconds since the request's head. */
  get elapsedMs(): number {
    return this.manager.context.timers.nowMs() - this.#startMs;
  }

  /** Settings of a filter at the most specific level that has any. */
  filterOverride<Key extends 'fault' | 'cors'>(key: Key): RuntimeFilterOverrides[Key] {
    return (
      this.weighted?.filterOverrides?.[key] ??
      this.route?.route.config.filterOverrides?.[key] ??
      this.route?.virtualHost.config.filterOverrides?.[key]
    );
  }

  /** Goes through checks, route and filters; the request's body comes later. */
  begin(): void {
    const { manager } = this;
    const { timers } = manager.context;
    manager.stats.rqTotal.inc();
    manager.stats.rqHttp1Total.inc();
    manager.stats.rqActive.add(1);
    const { requestTimeoutMs } = manager.config;
    if (this.request.endStream) this.requestDurationMs = 0;
    else if (requestTimeoutMs > 0) this.#requestTimer = timers.set(() => this.#onRequestTimeout(), requestTimeoutMs);
    if (!this.#checkRequest() || !this.#prepareHeaders()) return;
    this.#findRoute();
    this.#startTimers();
    if (!this.#checkUpgrade()) return;
    this.continueRequest();
  }

  /** Calls the filters that have not been called yet, and then the router. */
  continueRequest(): void {
    const filters = this.manager.requestFilters;
    while (this.#nextFilter < filters.length) {
      const filter = filters[this.#nextFilter];
      this.#nextFilter += 1;
      if (filter === undefined || this.#isDisabled(filter.name)) continue;
      const verdict = filter.onRequestHeaders?.(this) ?? 'continue';
      if (verdict === 'stop' || this.#headSent || this.#done) return;
    }
    this.#answerOrForward();
  }

  onRequestData(chunk: Buffer): void {
    this.bytesReceived += chunk.length;
    this.#idleTimer?.touch();
    if (!this.#done) this.#router.onRequestData(chunk);
  }

  onRequestEnd(): void {
    this.requestDurationMs ??= this.elapsedMs;
    this.#requestTimer?.cancel();
    if (!this.#done) this.#router.onRequestEnd();
  }

  onDownstreamReset(details: string): void {
    if (this.#done) return;
    this.responseFlags |= details.startsWith('http1.')
      ? ResponseFlag.downstreamProtocolError
      : ResponseFlag.downstreamConnectionTermination;
    this.responseCodeDetails = details;
    if (!this.#headSent) this.responseCode = 0;
    this.manager.stats.rqRxReset.inc();
    this.#router.onDownstreamReset();
    this.#finish();
  }

  onDownstreamWritable(): void {
    if (this.#encoder === undefined) this.#router.onDownstreamWritable();
    else this.#encoder.resume();
  }

  pauseRequest(): void {
    this.#writer.pauseRequest();
  }

  resumeRequest(): void {
    this.#writer.resumeRequest();
  }

  /** Passes an interim response on. */
  sendInterim(status: number): void {
    if (status === 100 && this.manager.config.proxy100Continue && !this.#headSent) this.#writer.sendContinue();
  }

  /** Sends the head of an upstream response. */
  sendUpstreamHead(head: ResponseHead): void {
    if (this.#done || this.#headSent) return;
    this.responseDurationMs = this.elapsedMs;
    this.responseCodeDetails = 'via_upstream';
    this.#applyResponseMutations(head.headers);
    this.#sendHead(head);
  }

  /** @returns False when the sender should wait for `onDownstreamWritable`. */
  sendData(chunk: Buffer): boolean {
    if (this.#done) return true;
    this.#idleTimer?.touch();
    return this.#encoder === undefined ? this.#write(chunk) : this.#encoder.write(chunk);
  }

  sendEnd(): void {
    if (this.#done) return;
    if (this.#encoder === undefined) this.#end();
    else this.#encoder.end();
  }

  /** Sends the response's body through an encoder; called by a filter that sees the response's head. */
  encodeBody(encoder: Transform): void {
    this.#encoder = encoder;
    encoder.on('data', (chunk: Buffer) => {
      if (!this.#done && !this.#write(chunk)) encoder.pause();
    });
    encoder.on('drain', () => this.#router.onDownstreamWritable());
    encoder.on('end', () => {
      if (!this.#done) this.#end();
    });
    encoder.on('error', (error) => this.resetDownstream(`response_encoding: ${messageOf(error)}`));
  }

  #write(chunk: Buffer): boolean {
    this.bytesSent += chunk.length;
    return this.#writer.sendData(chunk);
  }

  #end(): void {
    this.#finish();
    this.#writer.sendEnd();
  }

  /** The upstream agreed to the upgrade: from now on both sides are streams of bytes. */
  startTunnel(): void {
    this.#tunnel = true;
    this.manager.stats.cxUpgradesTotal.inc();
    this.manager.stats.cxUpgradesActive.add(1);
    this.#writer.startTunnel();
  }

  /** The upstream broke off in the middle of a response: the client must not take it for complete. */
  resetDownstream(details: string): void {
    if (this.#done) return;
    this.responseCodeDetails = details;
    this.#finish();
    this.#writer.reset();
  }

  /** Answers from here; whatever goes on upstream is given up. */
  sendLocalReply(reply: LocalReply): void {
    if (this.#done) return;
    this.responseFlags |= reply.flags ?? 0;
    this.responseCodeDetails = reply.details;
    this.localReplyBody = reply.body;
    this.#router.abandon();
    if (this.#headSent) {
      this.resetDownstream(reply.details);
      return;
    }
    // What follows a request that was refused for its form, or an upgrade that was refused, may not be what it seems.
    if (
      reply.status === 400 ||
      reply.status === 426 ||
      this.request.upgrade !== undefined ||
      this.request.method === 'CONNECT'
    ) {
      this.#writer.closeAfterResponse();
    }
    const headers = reply.headers ?? new HeaderMap();
    if (this.isGrpc) {
      headers.set('content-type', 'application/grpc');
      headers.set('grpc-status', String(reply.grpcStatus ?? grpcStatusOfHttp(reply.status)));
      if (reply.body !== '') headers.set('grpc-message', encodeGrpcMessage(reply.body));
      this.#sendHead({ status: 200, headers, endStream: true });
      return;
    }
    const body = Buffer.from(reply.body);
    if (body.length > 0) {
      headers.set('content-length', String(body.length));
      if (!headers.has('content-type')) headers.set('content-type', 'text/plain');
    }
    this.#sendHead({ status: reply.status, headers, endStream: body.length === 0 });
    if (body.length === 0) return;
    this.sendData(body);
    this.sendEnd();
  }

  #sendHead(head: ResponseHead): void {
    this.#headSent = true;
    this.responseCode = head.status;
    this.responseHeaders = head.headers;
    for (const filter of this.manager.responseFilters) {
      if (!this.#isDisabled(filter.name)) filter.onResponseHeaders?.(this, head);
    }
    finishResponseHeaders(head.headers, {
      config: this.manager.config,
      date: this.manager.date,
      isUpgrade: head.status === 101,
      requestId: this.request.headers.get('x-request-id'),
    });
    this.manager.stats.statuses.count(head.status);
    this.#idleTimer?.touch();
    if (head.endStream) this.#finish();
    this.#writer.sendHead(head.status, head.headers, head.endStream);
  }

  /** Status of a request that is refused for its form, or true. */
  #checkRequest(): boolean {
    const { request, manager } = this;
    const { config } = manager;
    if (request.protocol === 'HTTP/1.0' && !config.acceptHttp10) {
      this.sendLocalReply({
        status: 426,
        body: 'Upgrade Required',
        details: 'low_version',
        flags: ResponseFlag.downstreamProtocolError,
      });
      return false;
    }
    if (request.authority === undefined && request.protocol === 'HTTP/1.0')
      request.authority = config.defaultHostForHttp10;
    if (request.authority === undefined) {
      this.sendLocalReply({ status: 400, body: '', details: 'missing_host_header' });
      return false;
    }
    if (request.method === 'CONNECT') return true;
    if (request.path.charCodeAt(0) !== 0x2f) {
      manager.stats.rqNonRelativePath.inc();
      this.sendLocalReply({ status: 404, body: '', details: 'absolute_path_rejected' });
      return false;
    }
    if (request.path.includes('#')) {
      this.sendLocalReply({ status: 400, body: '', details: 'path_normalization_failed' });
      return false;
    }
    return this.#normalizePath();
  }

  #normalizePath(): boolean {
    const { config } = this.manager;
    if (!config.normalizePath && !config.mergeSlashes && config.escapedSlashes === 'keep_unchanged') return true;
    const normalized = normalizePath(this.request.path, config);
    if (normalized.kind === 'ok') {
      this.request.path = normalized.path;
      return true;
    }
    if (normalized.kind === 'rejected') {
      this.sendLocalReply({ status: 400, body: '', details: 'path_normalization_failed' });
      return false;
    }
    const headers = new HeaderMap();
    headers.add('location', normalized.path);
    this.sendLocalReply({ status: 307, body: '', details: 'path_normalization_redirect', headers });
    return false;
  }

  #prepareHeaders(): boolean {
    const { request, manager } = this;
    const { config } = manager;
    const authority = request.authority ?? '';
    if (config.stripTrailingHostDot && authority.endsWith('.')) request.authority = authority.slice(0, -1);
    if (config.stripAnyHostPort) request.authority = stripPort(request.authority ?? '');
    else if (config.stripMatchingHostPort && authority.endsWith(`:${this.connection.localPort}`)) {
      request.authority = stripPort(authority);
    }
    const keepUpgrade = request.upgrade !== undefined && request.upgrade !== 'h2c';
    if (!removeHopByHop(request.headers, keepUpgrade)) {
      this.sendLocalReply({
        status: 400,
        body: 'Bad Request',
        details: 'http1.connection_header_rejected',
        flags: ResponseFlag.downstreamProtocolError,
      });
      return false;
    }
    if (!config.proxy100Continue && request.headers.has('expect')) {
      if (request.headers.get('expect')?.toLowerCase() === '100-continue') this.#writer.sendContinue();
      request.headers.remove('expect');
    }
    if (!this.#checkUnderscores()) return false;
    const client = mutateRequestHeaders(request, this.connection, manager);
    this.isInternal = client.isInternal;
    this.clientIp = client.ip;
    return true;
  }

  #checkUnderscores(): boolean {
    const action = this.manager.config.headersWithUnderscores;
    if (action === 'allow') return true;
    const { headers } = this.request;
    const names = headers.names.filter((name) => name.includes('_'));
    if (names.length === 0) return true;
    if (action === 'drop_header') {
      for (const name of names) headers.remove(name);
      return true;
    }
    this.sendLocalReply({
      status: 400,
      body: 'Bad Request',
      details: 'http1.unexpected_underscore',
      flags: ResponseFlag.downstreamProtocolError,
    });
    return false;
  }

  #findRoute(): void {
    const { random } = this.manager.context;
    const table = this.manager.routeTable();
    if (table === undefined) return;
    this.route = table.match(this.request, random());
    if (!this.isInternal) for (const name of table.config.internalOnlyHeaders) this.request.headers.remove(name);
    const forward = this.route?.route.forward;
    if (forward === undefined) return;
    const { clusterName, weighted } = chooseCluster(forward, this.request, random());
    this.weighted = weighted;
    this.clusterName = clusterName;
    this.cluster = clusterName === undefined ? undefined : this.manager.context.cluster(clusterName);
  }

  #checkUpgrade(): boolean {
    const { upgrade } = this.request;
    if (upgrade === undefined || upgrade === 'h2c') return true;
    const ofRoute = this.route?.route.forward?.action.upgrades.find(({ type }) => type === upgrade);
    const rule = ofRoute ?? this.manager.config.upgrades.find(({ type }) => type === upgrade);
    if (rule?.enabled === true) return true;
    this.manager.stats.rqWsOnNonWsRoute.inc();
    this.sendLocalReply({ status: 403, body: '', details: 'upgrade_failed' });
    return false;
  }

  #answerOrForward(): void {
    const { stats } = this.manager;
    if (this.route === undefined) {
      stats.noRoute.inc();
      const isMissing = this.manager.routeTable() === undefined;
      const details = isMissing ? 'route_configuration_not_found' : 'route_not_found';
      this.sendLocalReply({ status: 404, body: '', details, flags: ResponseFlag.noRouteFound });
      return;
    }
    if (this.#mustUseTls()) {
      this.#redirect(`https://${stripPort(this.request.authority ?? '')}${this.request.path}`, 301);
      return;
    }
    const { route } = this.route;
    const { action } = route.config;
    stats.routerRqTotal.inc();
    if (action.kind === 'direct_response') {
      stats.rqDirectResponse.inc();
      const headers = new HeaderMap();
      this.#applyResponseMutations(headers);
      this.sendLocalReply({ status: action.status, body: action.body, details: 'direct_response', headers });
      return;
    }
    if (action.kind === 'redirect') {
      const location = route.redirect?.({
        scheme: this.request.scheme === 'https' ? 'https' : 'http',
        authority: this.request.authority ?? '',
        path: this.request.path,
        matchedPrefixLength: route.matchedLength,
      });
      this.#redirect(location ?? '', action.status);
      return;
    }
    this.#router.start();
  }

  #mustUseTls(): boolean {
    const requireTls = this.route?.virtualHost.config.requireTls ?? 'none';
    if (requireTls === 'none' || this.request.scheme === 'https') return false;
    return requireTls === 'all' || !this.isInternal;
  }

  #redirect(location: string, status: number): void {
    this.manager.stats.rqRedirect.inc();
    const headers = new HeaderMap();
    headers.add('location', location);
    this.#applyResponseMutations(headers);
    this.sendLocalReply({ status, body: '', details: 'direct_response', headers });
  }

  #applyResponseMutations(headers: HeaderMap): void {
    const { route } = this;
    if (route === undefined) return;
    const levels = [
      this.weighted?.responseHeaders,
      route.route.config.responseHeaders,
      route.virtualHost.config.responseHeaders,
      route.table.config.responseHeaders,
    ];
    if (route.table.config.mostSpecificHeaderMutationsWins) levels.reverse();
    for (const level of levels) if (level !== undefined) headerMutator(level)?.(headers, this);
  }

  #isDisabled(name: string): boolean {
    const { route } = this;
    if (route === undefined) return false;
    return (
      this.weighted?.filterOverrides?.disabled.includes(name) === true ||
      route.route.config.filterOverrides?.disabled.includes(name) === true ||
      route.virtualHost.config.filterOverrides?.disabled.includes(name) === true
    );
  }

  /** The route's timeouts where it has some, else the connection manager's. */
  #startTimers(): void {
    const { config, context } = this.manager;
    const action = this.route?.route.forward?.action;
    const idleMs = action?.idleTimeoutMs ?? config.streamIdleTimeoutMs;
    const durationMs = action?.maxStreamDurationMs ?? config.maxStreamDurationMs;
    if (idleMs > 0) this.#startIdleTimer(idleMs);
    if (durationMs > 0) this.#durationTimer = context.timers.set(() => this.#onMaxDuration(), durationMs);
  }

  #onRequestTimeout(): void {
    this.manager.stats.rqTimeout.inc();
    this.sendLocalReply({ status: 408, body: 'request timeout', details: 'request_overall_timeout' });
  }

  #startIdleTimer(idleMs: number): void {
    this.#idleTimer = new IdleTimer(this.manager.context.timers, idleMs, () => {
      this.manager.stats.rqIdleTimeout.inc();
      this.sendLocalReply({
        status: this.requestDurationMs === undefined ? 408 : 504,
        body: 'stream timeout',
        details: 'stream_idle_timeout',
        flags: ResponseFlag.streamIdleTimeout,
      });
    });
  }

  #onMaxDuration(): void {
    this.sendLocalReply({
      status: 408,
      body: 'downstream duration timeout',
      details: 'max_duration_timeout',
      flags: ResponseFlag.durationTimeout,
    });
  }

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    this.#idleTimer?.stop();
    this.#durationTimer?.cancel();
    this.#requestTimer?.cancel();
    this.#encoder?.destroy();
    const { manager } = this;
    this.durationMs = this.elapsedMs;
    manager.stats.rqActive.add(-1);
    manager.stats.rqTime.record(this.durationMs);
    if (this.#tunnel) manager.stats.cxUpgradesActive.add(-1);
    for (const filter of manager.completionFilters) filter.onComplete?.(this);
    for (const log of manager.accessLoggers) log(this);
  }
}
