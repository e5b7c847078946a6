import type { HeaderMap } from '../../codec/header-map.ts';
import type { RequestHead } from '../../codec/message-heads.ts';
import type { RuntimeTcpProxy } from '../../config/runtime-config.ts';
import { ResponseFlag } from '../../decide/response-flags.ts';
import { chooseWeighted } from '../../decide/weighted-choice.ts';
import { xxHash64 } from '../../decide/xx-hash.ts';
import { Connection, type ConnectionHandler } from '../../network/connection.ts';
import { IdleTimer, type TimerHandle } from '../../network/timers.ts';
import { TcpStats } from '../../stats/tcp-stats.ts';
import { BreakerKind } from '../../upstream/breakers.ts';
import type { Cluster } from '../../upstream/cluster.ts';
import type { ConnectedSocket, UpstreamTlsFacts } from '../../upstream/connect.ts';
import type { Host } from '../../upstream/host.ts';
import { type AccessLogger, compileAccessLogs } from '../access-log/access-log.ts';
import type { ProxyContext } from '../http/proxy-context.ts';
import type { NetworkSession, SessionOptions } from '../network-session.ts';
import type { DownstreamConnection, StreamRecord } from '../stream-record.ts';

/** `tcp_proxy` on one filter chain: what its connections share. */
export class TcpProxy {
  readonly config: RuntimeTcpProxy;
  readonly context: ProxyContext;
  readonly stats: TcpStats;
  readonly accessLoggers: readonly AccessLogger[];
  readonly #weights: readonly number[];
  readonly #totalWeight: number;

  constructor(config: RuntimeTcpProxy, context: ProxyContext) {
    this.config = config;
    this.context = context;
    this.stats = new TcpStats(context.stats, config.statPrefix);
    this.accessLoggers = compileAccessLogs(config.accessLogs, context.accessLogs);
    this.#weights = config.clusters.map(({ weight }) => weight);
    this.#totalWeight = this.#weights.reduce((sum, weight) => sum + weight, 0);
  }

  /** The cluster of a connection, by weight. */
  chooseCluster(): string {
    const index = chooseWeighted(this.#weights, this.#totalWeight, this.context.random());
    return this.config.clusters[index]?.name ?? '';
  }

  /**
   * Relays a connection until both directions have ended.
   *
   * @param clusterName Set by an earlier filter (`sni_cluster`); undefined: the configured choice.
   */
  serve(
    connection: Connection,
    facts: DownstreamConnection,
    options: SessionOptions,
    clusterName: string | undefined,
  ): NetworkSession {
    return new TcpSession(this, connection, facts, options, clusterName ?? this.chooseCluster());
  }
}

const UNUSED_HANDLER: ConnectionHandler = { onData() {}, onEnd() {}, onClose() {}, onWritable() {} };

/**
 * One relayed connection.
 *
 * Bytes are held back at their source whenever the other side's buffers are full, so that a slow reader costs a socket buffer
 * and no more. Each direction ends by itself.
 */
class TcpSession implements NetworkSession, ConnectionHandler, StreamRecord {
  readonly connection: DownstreamConnection;
  readonly startUnixMs: number;
  readonly request: RequestHead | undefined = undefined;
  readonly responseHeaders: HeaderMap | undefined = undefined;
  readonly responseCode = 0;
  responseCodeDetails = '';
  connectionTerminationDetails = '';
  responseFlags = 0;
  durationMs: number | undefined;
  readonly requestDurationMs: number | undefined = undefined;
  readonly responseDurationMs: number | undefined = undefined;
  readonly routeName = '';
  readonly virtualHostName = '';
  readonly upstreamClusterRaw: string;
  upstreamHost = '';
  upstreamLocalAddress = '';
  upstreamTls: UpstreamTlsFacts | undefined;
  upstreamTransportFailure = '';
  attemptCount = 0;
  readonly localReplyBody = '';

  readonly #proxy: TcpProxy;
  readonly #options: SessionOptions;
  readonly #downstream: Connection;
  readonly #startMs: number;
  readonly #idleTimer: IdleTimer;
  #durationTimer: TimerHandle | undefined;
  #cluster: Cluster | undefined;
  #host: Host | undefined;
  #upstream: Connection | undefined;
  #cancelConnect: (() => void) | undefined;
  #downstreamEnded = false;
  #upstreamEnded = false;
  #isOver = false;

  constructor(
    proxy: TcpProxy,
    downstream: Connection,
    facts: DownstreamConnection,
    options: SessionOptions,
    clusterName: string,
  ) {
    this.#proxy = proxy;
    this.#options = options;
    this.#downstream = downstream;
    this.connection = facts;
    this.upstreamClusterRaw = clusterName;
    const { timers } = proxy.context;
    this.startUnixMs = timers.unixMs();
    this.#startMs = timers.nowMs();
    proxy.stats.cxTotal.inc();
    proxy.stats.cxActive.add(1);
    downstream.setHandler(this);
    this.#idleTimer = new IdleTimer(timers, proxy.config.idleTimeoutMs, () => {
      proxy.stats.idleTimeout.inc();
      this.#close('idle timeout');
    });
    const maxMs = proxy.config.maxDownstreamConnectionDurationMs;
    if (maxMs > 0) {
      this.#durationTimer = timers.set(() => {
        proxy.stats.maxDurationReached.inc();
        this.#close('max connection duration reached');
      }, maxMs);
    }
    // Nothing is read until it has somewhere to go.
    downstream.pause();
    this.#cluster = proxy.context.cluster(clusterName);
    if (this.#cluster === undefined) {
      proxy.stats.cxNoRoute.inc();
      this.responseFlags |= ResponseFlag.noClusterFound;
      this.#close('cluster_not_found');
      return;
    }
    this.#connect(this.#cluster);
  }

  get upstreamCluster(): string {
    return this.#cluster?.config.altStatName ?? this.upstreamClusterRaw;
  }

  get bytesReceived(): number {
    return this.#downstream.bytesRead;
  }

  get bytesSent(): number {
    return this.#downstream.bytesWritten;
  }

  /** Relayed connections live until they end. */
  drain(): void {}

  close(): void {
    this.#close('');
  }

  onData(chunk: Buffer): void {
    this.#idleTimer.touch();
    if (this.#upstream?.write(chunk) === false) this.#downstream.pause();
  }

  onEnd(): void {
    this.#downstreamEnded = true;
    this.#upstream?.end();
    if (this.#upstream === undefined) this.#close('');
    else this.#closeWhenEnded();
  }

  onClose(error: Error | undefined): void {
    if (this.#isOver) return;
    if (!this.#upstreamEnded || error !== undefined) {
      this.responseFlags |= ResponseFlag.downstreamConnectionTermination;
    }
    // An aborted client must not look like an orderly end to the server.
    if (error === undefined) this.#upstream?.end();
    else this.#upstream?.reset();
    this.#finish();
  }

  onWritable(): void {
    this.#upstream?.resume();
  }

  #connect(cluster: Cluster): void {
    const { stats, config } = cluster;
    const host = cluster.pick({
      originalDestination: { address: this.connection.localIp, port: this.connection.localPort },
      originalDstHeader: undefined,
      hash: this.#proxy.config.hashesSourceIp ? xxHash64(this.connection.remoteIp) : undefined,
      avoid: undefined,
      maxAttempts: 1,
    });
    if (host === undefined) {
      stats.cxNoneHealthy.inc();
      this.responseFlags |= ResponseFlag.noHealthyUpstream;
      this.#close('no_healthy_upstream');
      return;
    }
    const breakers = cluster.breakers('default');
    if (!breakers.tryTake(BreakerKind.connections)) {
      stats.cxOverflow.inc();
      this.responseFlags |= ResponseFlag.upstreamOverflow;
      this.#close('upstream overflow');
      return;
    }
    this.#host = host;
    this.attemptCount += 1;
    this.upstreamHost = host.key;
    host.active += 1;
    host.counts.cxTotal += 1;
    host.counts.cxActive += 1;
    stats.cxTotal.inc();
    stats.cxActive.add(1);
    const startMs = this.#proxy.context.timers.nowMs();
    const cancel = cluster.connect(
      host,
      { alpnOverride: undefined, authority: undefined, clientSource: this.connection.clientSource },
      {
        onConnected: (connected) => {
          this.#cancelConnect = undefined;
          stats.cxConnectMs.record(this.#proxy.context.timers.nowMs() - startMs);
          this.#onConnected(connected);
        },
        onFailed: (reason, detail) => {
          this.#cancelConnect = undefined;
          this.#releaseHost();
          stats.cxConnectFail.inc();
          host.counts.cxConnectFail += 1;
          if (reason === 'connection timeout') stats.cxConnectTimeout.inc();
          cluster.reportFailure(host);
          this.upstreamTransportFailure = detail;
          if (this.attemptCount < this.#proxy.config.maxConnectAttempts) {
            this.#connect(cluster);
            return;
          }
          this.responseFlags |= ResponseFlag.upstreamConnectionFailure;
          if (config.discovery.kind !== 'original_dst' && this.attemptCount > 1) {
            this.responseFlags |= ResponseFlag.upstreamRetryLimitExceeded;
          }
          this.#close('upstream connection failure', true);
        },
      },
    );
    this.#cancelConnect = cancel;
  }

  #onConnected({ socket, tls, localAddress }: ConnectedSocket): void {
    if (tls !== undefined) this.#cluster?.stats.sslHandshake.inc();
    this.upstreamTls = tls;
    this.upstreamLocalAddress = localAddress;
    const upstream = new Connection(socket, UNUSED_HANDLER);
    this.#upstream = upstream;
    upstream.setHandler({
      onData: (chunk) => {
        this.#idleTimer.touch();
        if (!this.#downstream.write(chunk)) upstream.pause();
      },
      onEnd: () => {
        this.#upstreamEnded = true;
        this.#downstream.end();
        this.#closeWhenEnded();
      },
      onClose: (error) => this.#onUpstreamClosed(error),
      onWritable: () => this.#downstream.resume(),
    });
    if (this.#downstreamEnded) upstream.end();
    this.#downstream.resume();
  }

  #onUpstreamClosed(error: Error | undefined): void {
    if (this.#isOver) return;
    if (error !== undefined && !this.#upstreamEnded) {
      this.responseFlags |= ResponseFlag.upstreamConnectionTermination;
      this.#finish();
      this.#downstream.reset();
      return;
    }
    // The client may still be reading what was sent; its side closes by itself.
    this.#downstream.end();
    this.#finish();
  }

  #closeWhenEnded(): void {
    // Both directions were ended by `end()`: the sockets close when the last bytes are out, and `onClose` finishes.
    if (this.#downstreamEnded && this.#upstreamEnded) this.#idleTimer.touch();
  }

  #releaseHost(): void {
    const host = this.#host;
    const cluster = this.#cluster;
    if (host === undefined || cluster === undefined) return;
    this.#host = undefined;
    host.active -= 1;
    host.counts.cxActive -= 1;
    cluster.stats.cxActive.add(-1);
    cluster.breakers('default').release(BreakerKind.connections);
  }

  #close(details: string, isReset = false): void {
    if (this.#isOver) return;
    this.connectionTerminationDetails = details;
    this.#upstream?.destroy();
    this.#finish();
    if (isReset) this.#downstream.reset();
    else this.#downstream.destroy();
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelConnect?.();
    this.#idleTimer.stop();
    this.#durationTimer?.cancel();
    const { stats, context, accessLoggers } = this.#proxy;
    this.durationMs = context.timers.nowMs() - this.#startMs;
    stats.cxActive.add(-1);
    stats.cxRxBytesTotal.inc(this.bytesReceived);
    stats.cxTxBytesTotal.inc(this.bytesSent);
    this.#cluster?.stats.cxRxBytesTotal.inc(this.#upstream?.bytesRead ?? 0);
    this.#cluster?.stats.cxTxBytesTotal.inc(this.#upstream?.bytesWritten ?? 0);
    this.#releaseHost();
    for (const log of accessLoggers) log(this);
    this.#options.onClosed();
  }
}
