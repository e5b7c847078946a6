import { HeaderMap } from '../../codec/header-map.ts';
import type { RequestHead, ResetReason, ResponseHead } from '../../codec/message-heads.ts';
import type { RequestWriter, ResponseSink } from '../../codec/streams.ts';
import { hashRequest } from '../../decide/request-hash.ts';
import { ResponseFlag } from '../../decide/response-flags.ts';
import {
  type CompiledRetryPolicy,
  isRetriableRequest,
  mergeRequestedRetries,
  retryDelayMs,
  shouldRetryReset,
  shouldRetryResponse,
} from '../../decide/retry-policy.ts';
import type { CompiledForward } from '../../decide/route-table.ts';
import { parseGrpcTimeoutMs, parseMsHeader } from '../../decide/timeout-headers.ts';
import { IdleTimer, type TimerHandle } from '../../network/timers.ts';
import { BreakerKind } from '../../upstream/breakers.ts';
import type { Cluster } from '../../upstream/cluster.ts';
import type { Host } from '../../upstream/host.ts';
import type { Http1Pool, PooledConnection, PoolWaiter } from '../../upstream/http1-pool.ts';
import { headerMutator } from './header-mutations.ts';
import type { HttpStream } from './http-stream.ts';
import { sendMirrors } from './mirror.ts';

/** Envoy's default for `per_connection_buffer_limit_bytes`, which also bounds what is kept for retries. */
const DEFAULT_BUFFER_LIMIT_BYTES = 1_048_576;

const FLAG_OF_RESET: Readonly<Record<ResetReason, number>> = {
  'remote connection failure': ResponseFlag.upstreamConnectionFailure,
  'local connection failure': ResponseFlag.upstreamConnectionFailure,
  'connection timeout': ResponseFlag.upstreamConnectionFailure,
  'connection termination': ResponseFlag.upstreamConnectionTermination,
  'local reset': ResponseFlag.localReset,
  'remote reset': ResponseFlag.upstreamRemoteReset,
  'remote refused stream reset': ResponseFlag.upstreamRemoteReset,
  overflow: ResponseFlag.upstreamOverflow,
  'protocol error': ResponseFlag.upstreamProtocolError,
};

/** Headers that speak to the router and go no further. */
const CONSUMED_HEADERS: readonly string[] = [
  'x-envoy-retry-on',
  'x-envoy-retry-grpc-on',
  'x-envoy-max-retries',
  'x-envoy-upstream-rq-timeout-ms',
  'x-envoy-upstream-rq-per-try-timeout-ms',
];

/** One try of a request on one host. */
class Attempt implements PoolWaiter, ResponseSink {
  readonly host: Host;
  readonly startMs: number;
  readonly #router: Router;
  readonly #pool: Http1Pool;
  /** Set while the exchange is ours: a connection that went back to its pool may already serve another request. */
  #writer: RequestWriter | undefined;
  #isOver = false;
  #requestEnded = false;
  /** Some of the request has gone out. */
  requestSent = false;

  constructor(router: Router, host: Host, pool: Http1Pool, startMs: number) {
    this.#router = router;
    this.host = host;
    this.#pool = pool;
    this.startMs = startMs;
  }

  begin(): void {
    this.#pool.acquire(this);
  }

  /** Bytes can be sent. */
  get isReady(): boolean {
    return this.#writer !== undefined;
  }

  onPoolReady(pooled: PooledConnection): void {
    pooled.client.start(this);
    this.#writer = pooled.client;
    this.requestSent = true;
    this.#router.onAttemptReady(this, pooled);
  }

  onPoolFailed(reason: ResetReason, detail: string): void {
    this.#isOver = true;
    this.#router.onAttemptFailed(this, reason, detail);
  }

  sendHead(head: RequestHead): void {
    this.#requestEnded = head.endStream && head.upgrade === undefined;
    this.#writer?.sendHead(head);
  }

  sendData(chunk: Buffer): boolean {
    return this.#writer?.sendData(chunk) ?? true;
  }

  sendEnd(): void {
    this.#requestEnded = true;
    this.#writer?.sendEnd();
  }

  startTunnel(): void {
    this.#writer?.startTunnel();
  }

  pauseResponse(): void {
    this.#writer?.pauseResponse();
  }

  resumeResponse(): void {
    this.#writer?.resumeResponse();
  }

  /** Gives up; no callback follows. */
  abandon(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#writer === undefined) this.#pool.cancel(this);
    else this.#writer.reset();
    this.#writer = undefined;
  }

  onResponseHead(head: ResponseHead): void {
    if (!this.#isOver) this.#router.onUpstreamHead(this, head);
  }

  onInterimResponse(status: number): void {
    if (!this.#isOver) this.#router.onUpstreamInterim(status);
  }

  onResponseData(chunk: Buffer): void {
    if (!this.#isOver) this.#router.onUpstreamData(this, chunk);
  }

  onResponseEnd(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#writer = undefined;
    this.#router.onUpstreamEnd(this);
  }

  onUpstreamReset(reason: ResetReason, detail: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#writer = undefined;
    this.#router.onAttemptFailed(this, reason, detail);
  }

  onUpstreamWritable(): void {
    if (!this.#isOver && !this.#requestEnded) this.#router.onUpstreamWritable();
  }
}

/**
 * The last filter: takes a request to a host of its cluster, again if need be, and brings the answer back. One per stream.
 *
 * Until an attempt has a connection, and as long as another attempt may follow, the request's body is kept, up to the buffer
 * limit; what goes beyond is held back at the client (no connection yet) or ends the chance of a retry.
 */
export class Router {
  readonly #stream: HttpStream;
  #forward: CompiledForward | undefined;
  #cluster: Cluster | undefined;
  #retryPolicy: CompiledRetryPolicy | undefined;
  #bufferLimitBytes = DEFAULT_BUFFER_LIMIT_BYTES;
  #kept: Buffer[] = [];
  #keptBytes = 0;
  /** The body for mirrors, which get it when it is complete; undefined: nothing is mirrored, or it was too large. */
  #mirrorBody: Buffer[] | undefined;
  #mirrorBytes = 0;
  #requestEnded = false;
  #requestPaused = false;
  #attempt: Attempt | undefined;
  #retriesLeft = 0;
  /** For consistent balancing; undefined without hash policies. */
  #hash: bigint | undefined;
  #setCookies: readonly string[] = [];
  #holdsRetryBreaker = false;
  #retryCondemned = false;
  #tried: Set<Host> | undefined;
  #timeoutMs = 0;
  #perTryTimeoutMs = 0;
  #perTryIdleTimer: IdleTimer | undefined;
  #timeoutTimer: TimerHandle | undefined;
  #perTryTimer: TimerHandle | undefined;
  #retryTimer: TimerHandle | undefined;
  #responseStarted = false;
  #isOver = false;
  #tunnel = false;

  constructor(stream: HttpStream) {
    this.#stream = stream;
    this.#requestEnded = stream.request.endStream;
  }

  /** All filters are through: finds the cluster and makes the first attempt. */
  start(): void {
    const stream = this.#stream;
    const forward = stream.route?.route.forward;
    if (forward === undefined) throw new Error('BUG: the router was started without a forwarding route');
    this.#forward = forward;
    if (stream.clusterName === undefined) {
      this.#fail({ status: 404, body: '', details: 'cluster_not_found', flags: ResponseFlag.noClusterFound });
      return;
    }
    this.#cluster = stream.cluster;
    if (this.#cluster === undefined) {
      stream.manager.stats.noCluster.inc();
      const status = forward.action.clusterNotFoundStatus;
      this.#fail({ status, body: '', details: 'cluster_not_found', flags: ResponseFlag.noClusterFound });
      return;
    }
    this.#bufferLimitBytes =
      stream.route?.route.config.perRequestBufferLimitBytes ??
      stream.route?.virtualHost.config.perRequestBufferLimitBytes ??
      this.#cluster.config.perConnectionBufferLimitBytes;
    this.#readPolicies(forward);
    if (forward.action.hashPolicies.length > 0) this.#hashRequest(forward);
    this.#finishRequestHead(forward);
    // What came before the router was started is in `#kept`.
    if (forward.action.mirrors.length > 0 && stream.request.upgrade === undefined) {
      this.#mirrorBody = [...this.#kept];
      this.#mirrorBytes = this.#keptBytes;
    }
    if (this.#requestEnded) {
      this.#sendMirrors();
      this.#startTimeout();
    }
    this.#try();
  }

  onRequestData(chunk: Buffer): void {
    this.#keepForMirrors(chunk);
    if (this.#isOver) return;
    const attempt = this.#attempt;
    if (attempt?.isReady === true && (this.#tunnel || !this.#keepsBody)) {
      this.#sendChunk(attempt, chunk);
      return;
    }
    this.#kept.push(chunk);
    this.#keptBytes += chunk.length;
    if (attempt?.isReady === true) {
      this.#sendChunk(attempt, chunk);
      if (this.#keptBytes > this.#bufferLimitBytes) this.#giveUpRetries();
    } else if (this.#keptBytes > this.#bufferLimitBytes) {
      this.#pauseRequest();
    }
  }

  onRequestEnd(): void {
    if (this.#requestEnded) return;
    this.#requestEnded = true;
    this.#sendMirrors();
    if (this.#isOver) return;
    if (this.#attempt?.isReady === true) this.#attempt.sendEnd();
    if (this.#forward !== undefined && !this.#tunnel) {
      this.#startTimeout();
      if (this.#attempt?.isReady === true) this.#startPerTryTimeout();
    }
  }

  onDownstreamReset(): void {
    if (this.#isOver) return;
    if (this.#attempt !== undefined && !this.#responseStarted) this.#cluster?.stats.rqCancelled.inc();
    this.abandon();
  }

  onDownstreamWritable(): void {
    this.#attempt?.resumeResponse();
  }

  /** Gives up whatever goes on upstream. */
  abandon(): void {
    if (this.#isOver) return;
    if (this.#attempt !== undefined) this.#cluster?.stats.rqTxReset.inc();
    this.#attempt?.abandon();
    this.#finish();
  }

  onAttemptReady(attempt: Attempt, pooled: PooledConnection): void {
    this.#attempt = attempt;
    const stream = this.#stream;
    stream.upstreamLocalAddress = pooled.localAddress;
    stream.upstreamTls = pooled.tls;
    const { request } = stream;
    attempt.sendHead({
      method: request.method,
      path: request.path,
      authority: request.authority,
      scheme: request.scheme,
      protocol: request.protocol,
      headers: request.headers,
      endStream: this.#requestEnded && this.#keptBytes === 0,
      upgrade: request.upgrade,
    });
    const kept = this.#kept;
    if (!this.#keepsBody) this.#dropKept();
    for (const chunk of kept) this.#sendChunk(attempt, chunk);
    if (this.#requestEnded && kept.length > 0) attempt.sendEnd();
    if (this.#requestEnded) this.#startPerTryTimeout();
    if (this.#requestPaused && this.#keptBytes <= this.#bufferLimitBytes) this.#resumeRequest();
  }

  onAttemptFailed(attempt: Attempt, reason: ResetReason, detail: string): void {
    if (this.#isOver) return;
    const stream = this.#stream;
    this.#perTryTimer?.cancel();
    this.#perTryIdleTimer?.stop();
    if (detail !== '') stream.upstreamTransportFailure = detail;
    if (reason !== 'overflow') this.#cluster?.reportFailure(attempt.host);
    if (attempt.requestSent) this.#cluster?.stats.rqRxReset.inc();
    if (this.#responseStarted) {
      stream.responseFlags |= FLAG_OF_RESET[reason];
      this.#finish();
      stream.resetDownstream(`upstream_reset_after_response_started{${reason}}`);
      return;
    }
    const policy = this.#retryPolicy;
    const wants = policy !== undefined && shouldRetryReset(policy, reason, attempt.requestSent);
    if (wants && this.#scheduleRetry()) return;
    this.#cluster?.stats.statuses.count(reason === 'protocol error' ? 502 : 503);
    this.#failWithReset(reason, detail);
  }

  onUpstreamInterim(status: number): void {
    this.#stream.sendInterim(status);
  }

  onUpstreamHead(attempt: Attempt, head: ResponseHead): void {
    const cluster = this.#cluster as Cluster;
    const stream = this.#stream;
    this.#perTryTimer?.cancel();
    cluster.reportStatus(attempt.host, head.status);
    if (stream.attemptCount > 1) cluster.stats.retryStatuses.count(head.status);
    const policy = this.#retryPolicy;
    if (policy !== undefined && shouldRetryResponse(policy, head.status, head.headers) && this.#scheduleRetry()) {
      attempt.abandon();
      return;
    }
    if (stream.attemptCount > 1 && head.status < 500) cluster.stats.rqRetrySuccess.inc();
    this.#responseStarted = true;
    cluster.stats.statuses.count(head.status);
    this.#dropKept();
    const { timers } = stream.manager.context;
    if (!stream.manager.suppressEnvoyHeaders) {
      head.headers.set('x-envoy-upstream-service-time', String(Math.round(timers.nowMs() - attempt.startMs)));
    }
    if (stream.route?.virtualHost.config.includeAttemptCountInResponse === true) {
      head.headers.set('x-envoy-attempt-count', String(stream.attemptCount));
    }
    for (const cookie of this.#setCookies) head.headers.add('set-cookie', cookie);
    if (head.status === 101) {
      this.#switchProtocols(attempt, head);
      return;
    }
    if (head.endStream) this.#completeExchange(attempt);
    stream.sendUpstreamHead(head);
  }

  onUpstreamData(attempt: Attempt, chunk: Buffer): void {
    if (!this.#responseStarted) return;
    this.#perTryIdleTimer?.touch();
    if (!this.#stream.sendData(chunk)) attempt.pauseResponse();
  }

  onUpstreamEnd(attempt: Attempt): void {
    if (this.#isOver || !this.#responseStarted) return;
    this.#completeExchange(attempt);
    this.#stream.sendEnd();
  }

  onUpstreamWritable(): void {
    if (this.#requestPaused) this.#resumeRequest();
  }

  /** The body sent so far is needed again if the attempt fails. */
  get #keepsBody(): boolean {
    return this.#retryPolicy !== undefined && !this.#retryCondemned && !this.#responseStarted;
  }

  #readPolicies(forward: CompiledForward): void {
    const stream = this.#stream;
    const { headers } = stream.request;
    const policy = mergeRequestedRetries(forward.retryPolicy, headers);
    if (policy !== undefined && isRetriableRequest(policy, stream.request)) this.#retryPolicy = policy;
    this.#retriesLeft = this.#retryPolicy?.config.numRetries ?? 0;
    const grpcMaxMs = forward.action.grpcTimeoutHeaderMaxMs;
    const grpcMs = grpcMaxMs === undefined ? undefined : parseGrpcTimeoutMs(headers.get('grpc-timeout'));
    this.#timeoutMs = parseMsHeader(headers.get('x-envoy-upstream-rq-timeout-ms')) ?? forward.action.timeoutMs;
    if (grpcMs !== undefined) this.#timeoutMs = grpcMaxMs === 0 ? grpcMs : Math.min(grpcMs, grpcMaxMs as number);
    const perTryMs =
      parseMsHeader(headers.get('x-envoy-upstream-rq-per-try-timeout-ms')) ?? policy?.config.perTryTimeoutMs ?? 0;
    this.#perTryTimeoutMs = this.#timeoutMs > 0 && perTryMs >= this.#timeoutMs ? 0 : perTryMs;
    for (const name of CONSUMED_HEADERS) headers.remove(name);
  }

  /** Of the request as it came, before it is rewritten. */
  #hashRequest(forward: CompiledForward): void {
    const { connection, request, clientIp } = this.#stream;
    const { remoteIp, remotePort, localIp, localPort } = connection;
    const origin = { clientIp, connectionText: `${remoteIp}:${remotePort}${localIp}:${localPort}` };
    const { hash, setCookies } = hashRequest(forward.action.hashPolicies, request, origin);
    this.#hash = hash;
    this.#setCookies = setCookies;
  }

  #finishRequestHead(forward: CompiledForward): void {
    const stream = this.#stream;
    const { request, route } = stream;
    if (route === undefined) return;
    const levels = [
      stream.weighted?.requestHeaders,
      route.route.config.requestHeaders,
      route.virtualHost.config.requestHeaders,
      route.table.config.requestHeaders,
    ];
    if (route.table.config.mostSpecificHeaderMutationsWins) levels.reverse();
    for (const level of levels) if (level !== undefined) headerMutator(level)?.(request.headers, stream);
    this.#rewriteHost(forward);
    if (forward.rewritePath !== undefined) {
      const original = request.path;
      request.path = forward.rewritePath(original);
      if (!stream.manager.suppressEnvoyHeaders) request.headers.set('x-envoy-original-path', original);
    }
    const expectedMs = this.#perTryTimeoutMs > 0 ? this.#perTryTimeoutMs : this.#timeoutMs;
    if (expectedMs > 0 && !stream.manager.suppressEnvoyHeaders) {
      request.headers.set('x-envoy-expected-rq-timeout-ms', String(Math.round(expectedMs)));
    }
    if (route.route.config.decoratorOperation !== undefined) {
      request.headers.set('x-envoy-decorator-operation', route.route.config.decoratorOperation);
    }
  }

  #rewriteHost(forward: CompiledForward): void {
    const { request, weighted } = this.#stream;
    const { hostRewrite, appendXForwardedHost } = forward.action;
    const original = request.authority;
    if (weighted?.hostRewriteLiteral !== undefined) request.authority = weighted.hostRewriteLiteral;
    else if (hostRewrite?.kind === 'literal') request.authority = hostRewrite.value;
    else if (hostRewrite?.kind === 'header') {
      request.authority = request.headers.get(hostRewrite.headerName) ?? request.authority;
    } else if (forward.rewriteHostByPath !== undefined) {
      request.authority = forward.rewriteHostByPath(request.path);
    }
    if (appendXForwardedHost && original !== undefined && original !== request.authority) {
      request.headers.add('x-forwarded-host', original);
    }
  }

  #try(): void {
    const stream = this.#stream;
    const cluster = this.#cluster as Cluster;
    const action = (this.#forward as CompiledForward).action;
    const policy = this.#retryPolicy?.config;
    const host = cluster.pick({
      originalDestination: { address: stream.connection.localIp, port: stream.connection.localPort },
      originalDstHeader: stream.request.headers.get('x-envoy-original-dst-host'),
      hash: this.#hash,
      avoid: policy?.avoidPreviousHosts === true ? this.#tried : undefined,
      maxAttempts: this.#tried === undefined ? 1 : (policy?.hostSelectionMaxAttempts ?? 1),
    });
    if (host === undefined) {
      cluster.stats.cxNoneHealthy.inc();
      cluster.stats.statuses.count(503);
      this.#fail({
        status: 503,
        body: 'no healthy upstream',
        details: 'no_healthy_upstream',
        flags: ResponseFlag.noHealthyUpstream,
      });
      return;
    }
    if (this.#retryPolicy !== undefined) {
      this.#tried ??= new Set();
      this.#tried.add(host);
    }
    stream.attemptCount += 1;
    stream.upstreamHost = host.key;
    const workload = host.config.metadata['istio']?.['workload'];
    stream.upstreamWorkload = typeof workload === 'string' ? workload : undefined;
    if (action.hostRewrite?.kind === 'auto' && host.config.hostname !== '')
      stream.request.authority = host.config.hostname;
    if (stream.route?.virtualHost.config.includeRequestAttemptCount === true) {
      stream.request.headers.set('x-envoy-attempt-count', String(stream.attemptCount));
    }
    const pool = cluster.pool(host, action.priority, {
      alpnOverride: stream.alpnOverride,
      authority: stream.request.authority,
      clientSource: stream.connection.clientSource,
    });
    const attempt = new Attempt(this, host, pool, stream.manager.context.timers.nowMs());
    this.#attempt = attempt;
    attempt.begin();
  }

  #keepForMirrors(chunk: Buffer): void {
    if (this.#mirrorBody === undefined) return;
    this.#mirrorBody.push(chunk);
    this.#mirrorBytes += chunk.length;
    if (this.#mirrorBytes > this.#bufferLimitBytes) this.#mirrorBody = undefined;
  }

  #sendMirrors(): void {
    const body = this.#mirrorBody;
    if (body === undefined || this.#forward === undefined) return;
    this.#mirrorBody = undefined;
    const { request, manager } = this.#stream;
    sendMirrors(
      this.#forward.action.mirrors,
      { request, headers: request.headers, body, timeoutMs: this.#timeoutMs },
      manager.context,
    );
  }

  /** @returns False when there is to be no other attempt. */
  #scheduleRetry(): boolean {
    const cluster = this.#cluster as Cluster;
    const policy = this.#retryPolicy?.config;
    if (policy === undefined || this.#retryCondemned) return false;
    this.#releaseRetryBreaker();
    if (this.#retriesLeft === 0) {
      this.#stream.responseFlags |= ResponseFlag.upstreamRetryLimitExceeded;
      cluster.stats.rqRetryLimitExceeded.inc();
      return false;
    }
    const breakers = cluster.breakers((this.#forward as CompiledForward).action.priority);
    if (!breakers.tryTake(BreakerKind.retries)) {
      cluster.stats.rqRetryOverflow.inc();
      return false;
    }
    this.#holdsRetryBreaker = true;
    this.#retriesLeft -= 1;
    cluster.stats.rqRetry.inc();
    this.#attempt = undefined;
    const { timers, random } = this.#stream.manager.context;
    const delayMs = retryDelayMs(policy, policy.numRetries - this.#retriesLeft, random());
    this.#retryTimer = timers.set(() => this.#try(), delayMs);
    return true;
  }

  #releaseRetryBreaker(): void {
    if (!this.#holdsRetryBreaker) return;
    this.#holdsRetryBreaker = false;
    this.#cluster?.breakers((this.#forward as CompiledForward).action.priority).release(BreakerKind.retries);
  }

  #sendChunk(attempt: Attempt, chunk: Buffer): void {
    if (!attempt.sendData(chunk)) this.#pauseRequest();
  }

  #giveUpRetries(): void {
    this.#retryCondemned = true;
    this.#dropKept();
  }

  #dropKept(): void {
    this.#kept = [];
    this.#keptBytes = 0;
  }

  #pauseRequest(): void {
    if (this.#requestPaused) return;
    this.#requestPaused = true;
    this.#stream.pauseRequest();
  }

  #resumeRequest(): void {
    this.#requestPaused = false;
    this.#stream.resumeRequest();
  }

  #startTimeout(): void {
    if (this.#timeoutMs === 0 || this.#timeoutTimer !== undefined) return;
    this.#timeoutTimer = this.#stream.manager.context.timers.set(() => this.#onTimeout(), this.#timeoutMs);
  }

  #startPerTryTimeout(): void {
    const idleMs = this.#retryPolicy?.config.perTryIdleTimeoutMs ?? 0;
    this.#perTryIdleTimer?.stop();
    if (idleMs > 0) {
      const { timers } = this.#stream.manager.context;
      this.#perTryIdleTimer = new IdleTimer(timers, idleMs, () => this.#onPerTryTimeout());
    }
    if (this.#perTryTimeoutMs === 0) return;
    this.#perTryTimer?.cancel();
    this.#perTryTimer = this.#stream.manager.context.timers.set(() => this.#onPerTryTimeout(), this.#perTryTimeoutMs);
  }

  #onTimeout(): void {
    const cluster = this.#cluster as Cluster;
    cluster.stats.rqTimeout.inc();
    const attempt = this.#attempt;
    if (attempt !== undefined) {
      attempt.host.counts.rqTimeout += 1;
      cluster.reportFailure(attempt.host);
    }
    cluster.stats.statuses.count(504);
    this.#fail({
      status: 504,
      body: 'upstream request timeout',
      details: 'upstream_response_timeout',
      flags: ResponseFlag.upstreamRequestTimeout,
    });
  }

  #onPerTryTimeout(): void {
    const cluster = this.#cluster as Cluster;
    const attempt = this.#attempt;
    if (attempt === undefined) return;
    cluster.stats.rqPerTryTimeout.inc();
    attempt.host.counts.rqTimeout += 1;
    cluster.reportFailure(attempt.host);
    attempt.abandon();
    const policy = this.#responseStarted ? undefined : this.#retryPolicy;
    if (policy !== undefined && shouldRetryReset(policy, 'local reset', true) && this.#scheduleRetry()) return;
    cluster.stats.statuses.count(504);
    this.#fail({
      status: 504,
      body: 'upstream request timeout',
      details: 'upstream_per_try_timeout',
      flags: ResponseFlag.upstreamRequestTimeout,
    });
  }

  #switchProtocols(attempt: Attempt, head: ResponseHead): void {
    const stream = this.#stream;
    if (stream.request.upgrade === undefined) {
      attempt.abandon();
      this.#failWithReset('protocol error', 'unexpected 101');
      return;
    }
    this.#timeoutTimer?.cancel();
    this.#perTryIdleTimer?.stop();
    this.#tunnel = true;
    this.#requestEnded = false;
    stream.sendUpstreamHead(head);
    // Upstream first: bytes that the client sent early go there at once.
    attempt.startTunnel();
    stream.startTunnel();
  }

  #completeExchange(attempt: Attempt): void {
    if (this.#isOver) return;
    const cluster = this.#cluster as Cluster;
    cluster.stats.rqCompleted.inc();
    cluster.stats.rqTime.record(this.#stream.manager.context.timers.nowMs() - attempt.startMs);
    this.#finish();
  }

  #failWithReset(reason: ResetReason, detail: string): void {
    const isWorthTelling = detail !== '' && reason !== 'protocol error';
    const retried = this.#stream.attemptCount > 1 ? 'retried and the latest ' : '';
    const headers = new HeaderMap();
    if (reason === 'overflow') headers.add('x-envoy-overloaded', 'true');
    this.#fail({
      status: reason === 'protocol error' ? 502 : 503,
      body: `upstream connect error or disconnect/reset before headers. ${retried}reset reason: ${reason}`,
      // Why it failed is for logs: the client is told no addresses and no names of certificates.
      details: `upstream_reset_before_response_started{${reason}${isWorthTelling ? `|${detail}` : ''}}`,
      flags: FLAG_OF_RESET[reason],
      headers,
    });
  }

  #fail(reply: Parameters<HttpStream['sendLocalReply']>[0]): void {
    const attempt = this.#attempt;
    this.#finish();
    attempt?.abandon();
    this.#stream.sendLocalReply(reply);
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#timeoutTimer?.cancel();
    this.#perTryTimer?.cancel();
    this.#perTryIdleTimer?.stop();
    this.#retryTimer?.cancel();
    this.#releaseRetryBreaker();
    this.#dropKept();
    if (this.#requestPaused) this.#resumeRequest();
  }
}
