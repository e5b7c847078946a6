import { STATUS_CODES } from 'node:http';
import { assertNever } from '@meltemi/base/pure';
import { HeaderMap } from '../../codec/header-map.ts';
import { Http1ServerConnection, REQUEST_HEADER_TIMEOUT } from '../../codec/http1/server-connection.ts';
import type { RequestHead } from '../../codec/message-heads.ts';
import type { CodecError, RequestHandler, RequestSink, ResponseWriter } from '../../codec/streams.ts';
import type { RuntimeHttpConnectionManager, RuntimeHttpFilter } from '../../config/runtime-config.ts';
import type { ContentEncoding } from '../../decide/content-encoding.ts';
import { compileCidrs } from '../../decide/ip.ts';
import { ResponseFlag } from '../../decide/response-flags.ts';
import { RouteTable } from '../../decide/route-table.ts';
import type { Connection } from '../../network/connection.ts';
import { IdleTimer, type TimerHandle } from '../../network/timers.ts';
import { HttpStats } from '../../stats/http-stats.ts';
import { type AccessLogger, compileAccessLogs } from '../access-log/access-log.ts';
import type { NetworkSession, SessionOptions } from '../network-session.ts';
import { type DownstreamConnection, NOTHING_SERVED } from '../stream-record.ts';
import { createCompressorFilter } from './compressor.ts';
import { createCorsFilter } from './cors.ts';
import { createFaultFilter } from './fault.ts';
import type { HttpFilter } from './http-filter.ts';
import { HttpStream } from './http-stream.ts';
import { createIstioAlpnFilter } from './istio-alpn.ts';
import { createIstioStatsFilter } from './istio-stats.ts';
import { createPeerMetadataFilter } from './peer-metadata.ts';
import type { ProxyContext } from './proxy-context.ts';
import { DateHeader, finishResponseHeaders } from './response-headers.ts';

function createFilter(filter: RuntimeHttpFilter, manager: HttpConnectionManager): HttpFilter | undefined {
  switch (filter.kind) {
    case 'router':
    case 'grpc_stats':
      return undefined;
    case 'fault':
      return createFaultFilter(filter.name, filter.fault, manager);
    case 'cors':
      return createCorsFilter(filter.name);
    case 'peer_metadata':
      return createPeerMetadataFilter(filter.name, filter.peerMetadata, manager.context.node);
    case 'istio_stats':
      return createIstioStatsFilter(filter.name, filter.stats, manager.context);
    case 'istio_alpn':
      return createIstioAlpnFilter(filter.name, filter.overrides);
    case 'compressor':
      return createCompressorFilter(filter.name, filter.compressor, encodingsOf(manager.config));
    default:
      return assertNever(filter, 'HTTP filter');
  }
}

/** The encodings of all compressors, in the order of the filters. */
function encodingsOf({ httpFilters }: RuntimeHttpConnectionManager): readonly ContentEncoding[] {
  return httpFilters.flatMap((filter) =>
    filter.kind === 'compressor' && !filter.disabled ? [filter.compressor.encoding] : [],
  );
}

/** HTTP on one filter chain: what is compiled once and shared by all of the chain's connections. */
export class HttpConnectionManager {
  readonly config: RuntimeHttpConnectionManager;
  readonly context: ProxyContext;
  readonly stats: HttpStats;
  readonly date: DateHeader;
  readonly accessLoggers: readonly AccessLogger[];
  readonly requestFilters: readonly HttpFilter[];
  /** The last one first. */
  readonly responseFilters: readonly HttpFilter[];
  readonly completionFilters: readonly HttpFilter[];
  readonly suppressEnvoyHeaders: boolean;
  readonly isInternalAddress: (ip: string) => boolean;
  readonly #inlineRoutes: RouteTable | undefined;

  constructor(config: RuntimeHttpConnectionManager, context: ProxyContext) {
    this.config = config;
    this.context = context;
    this.stats = new HttpStats(context.stats, config.statPrefix);
    this.date = new DateHeader(context.timers);
    this.accessLoggers = compileAccessLogs(config.accessLogs, context.accessLogs);
    this.isInternalAddress = compileCidrs(config.internalAddresses);
    const filters = config.httpFilters
      .filter(({ disabled }) => !disabled)
      .map((filter) => createFilter(filter, this))
      .filter((filter) => filter !== undefined);
    this.requestFilters = filters.filter(({ onRequestHeaders }) => onRequestHeaders !== undefined);
    this.responseFilters = filters.filter(({ onResponseHeaders }) => onResponseHeaders !== undefined).reverse();
    this.completionFilters = filters.filter(({ onComplete }) => onComplete !== undefined);
    const router = config.httpFilters.find(({ kind }) => kind === 'router');
    this.suppressEnvoyHeaders = router?.kind === 'router' && router.suppressEnvoyHeaders;
    this.#inlineRoutes = config.routes.kind === 'inline' ? new RouteTable(config.routes.config) : undefined;
  }

  /** The route table as it is now; undefined when it has not arrived. */
  routeTable(): RouteTable | undefined {
    const { routes } = this.config;
    return routes.kind === 'rds' ? this.context.routeTable(routes.name) : this.#inlineRoutes;
  }

  /** Serves a connection until it closes. */
  serve(connection: Connection, facts: DownstreamConnection, options: SessionOptions): NetworkSession {
    return new HttpSession(this, connection, facts, options);
  }
}

/** A draining connection that stays idle is closed after this to twice this: by then whoever used it has looked elsewhere. */
const IDLE_DRAIN_MS = 1000;

/** One downstream HTTP connection. */
class HttpSession implements NetworkSession, RequestHandler {
  readonly #manager: HttpConnectionManager;
  readonly #facts: DownstreamConnection;
  readonly #codec: Http1ServerConnection;
  readonly #connection: Connection;
  readonly #idleTimer: IdleTimer;
  #durationTimer: TimerHandle | undefined;
  #drainTimer: TimerHandle | undefined;
  #closesIdle = false;
  #requestCount = 0;
  #isDraining = false;

  constructor(
    manager: HttpConnectionManager,
    connection: Connection,
    facts: DownstreamConnection,
    { shouldDrain, onClosed }: SessionOptions,
  ) {
    this.#manager = manager;
    this.#facts = facts;
    this.#connection = connection;
    const { config, stats, context } = manager;
    stats.cxTotal.inc();
    stats.cxHttp1Total.inc();
    stats.cxActive.add(1);
    if (facts.tls !== undefined) stats.cxSslTotal.inc();
    this.#idleTimer = new IdleTimer(context.timers, config.idleTimeoutMs, () => {
      if (this.#codec.isIdle) {
        stats.cxIdleTimeout.inc();
        this.#codec.closeIfIdle();
      } else {
        this.#idleTimer.restart();
      }
    });
    this.#codec = new Http1ServerConnection({
      connection,
      handler: this,
      isTls: facts.tls !== undefined,
      maxHeadBytes: config.maxRequestHeadersBytes,
      maxHeaders: config.maxHeadersCount,
      allowChunkedLength: config.allowChunkedLength,
      delayedCloseMs: Math.max(1, config.delayedCloseTimeoutMs),
      headTimeoutMs: config.requestHeadersTimeoutMs,
      timers: context.timers,
      shouldClose: () => this.#isLastResponse(shouldDrain),
      onIdleChange: (isIdle) => this.#onIdleChange(isIdle),
      onClosed: () => {
        this.#idleTimer.stop();
        this.#durationTimer?.cancel();
        this.#drainTimer?.cancel();
        stats.cxActive.add(-1);
        onClosed();
      },
    });
    if (config.maxConnectionDurationMs > 0) {
      this.#durationTimer = context.timers.set(() => this.drain(true), config.maxConnectionDurationMs);
    }
  }

  drain(sparesIdle: boolean): void {
    this.#isDraining = true;
    if (!sparesIdle) return this.#closeIdle();
    const { timers, random } = this.#manager.context;
    this.#drainTimer ??= timers.set(() => this.#closeIdle(), IDLE_DRAIN_MS * (1 + random()));
  }

  #closeIdle(): void {
    this.#closesIdle = true;
    this.#codec.closeIfIdle();
  }

  close(): void {
    this.#connection.destroy();
  }

  onRequest(head: RequestHead, writer: ResponseWriter): RequestSink {
    this.#requestCount += 1;
    const stream = new HttpStream(this.#manager, this.#facts, head, writer);
    stream.begin();
    return stream;
  }

  onInvalidRequest(
    { status, details }: CodecError,
    hadSink: boolean,
  ): { status: number; headers: HeaderMap; body: string } | undefined {
    const { config, stats, date } = this.#manager;
    if (details === REQUEST_HEADER_TIMEOUT) stats.rqHeaderTimeout.inc();
    else stats.cxProtocolError.inc();
    if (!hadSink) this.#logInvalid(status, details);
    const headers = new HeaderMap();
    const body = STATUS_CODES[status] ?? 'Bad Request';
    headers.add('content-type', 'text/plain');
    finishResponseHeaders(headers, { config, date, isUpgrade: false, requestId: undefined });
    stats.statuses.count(status);
    return { status, headers, body };
  }

  /** A request that never became a stream still leaves a line in the access log. */
  #logInvalid(status: number, details: string): void {
    const { accessLoggers, context, stats } = this.#manager;
    stats.rqTotal.inc();
    if (accessLoggers.length === 0) return;
    const nowMs = context.timers.unixMs();
    for (const log of accessLoggers) {
      log({
        connection: this.#facts,
        startUnixMs: nowMs,
        ...NOTHING_SERVED,
        responseCode: status,
        responseCodeDetails: details,
        responseFlags: ResponseFlag.downstreamProtocolError,
      });
    }
  }

  #isLastResponse(shouldDrain: () => boolean): boolean {
    const { maxRequestsPerConnection } = this.#manager.config;
    if (maxRequestsPerConnection > 0 && this.#requestCount >= maxRequestsPerConnection) return true;
    return this.#isDraining || shouldDrain();
  }

  #onIdleChange(isIdle: boolean): void {
    this.#idleTimer.touch();
    if (isIdle && this.#closesIdle) this.#codec.closeIfIdle();
  }
}
