import { Http1ClientConnection } from '../codec/http1/client-connection.ts';
import type { ResetReason } from '../codec/message-heads.ts';
import { Connection, type ConnectionHandler } from '../network/connection.ts';
import { IdleTimer, type TimerHandle, type Timers } from '../network/timers.ts';
import type { ClusterStats } from '../stats/cluster-stats.ts';
import { BreakerKind, type Breakers } from './breakers.ts';
import type { ConnectEvents, ConnectedSocket, UpstreamTlsFacts } from './connect.ts';
import type { Host } from './host.ts';

/** A connection of the pool with one request on it. */
export interface PooledConnection {
  readonly client: Http1ClientConnection;
  readonly tls: UpstreamTlsFacts | undefined;
  readonly localAddress: string;
}

/** Waits for a connection; one of the two is called, once, perhaps before `acquire` returns. */
export interface PoolWaiter {
  onPoolReady(pooled: PooledConnection): void;
  onPoolFailed(reason: ResetReason, detail: string): void;
}

/** What a pool is made of. */
export interface PoolOptions {
  readonly host: Host;
  readonly breakers: Breakers;
  readonly stats: ClusterStats;
  readonly timers: Timers;
  /** 0 is none. */
  readonly idleTimeoutMs: number;
  /** 0 is no limit. */
  readonly maxRequestsPerConnection: number;
  /** 0 is no limit. */
  readonly maxConnectionDurationMs: number;
  readonly connect: (events: ConnectEvents) => () => void;
  /** The last connection is gone, or none was allowed, and nobody waits for another. */
  readonly onEmpty: () => void;
}

const UNUSED_HANDLER: ConnectionHandler = { onData() {}, onEnd() {}, onClose() {}, onWritable() {} };

class Entry implements PooledConnection {
  readonly client: Http1ClientConnection;
  readonly tls: UpstreamTlsFacts | undefined;
  readonly localAddress: string;
  readonly idleTimer: IdleTimer;
  isActive = false;
  /** Closes after its exchange. */
  isTooOld = false;
  #ageTimer: TimerHandle | undefined;

  constructor(
    pool: Http1Pool,
    connected: ConnectedSocket,
    { timers, idleTimeoutMs, maxConnectionDurationMs }: PoolOptions,
  ) {
    this.tls = connected.tls;
    this.localAddress = connected.localAddress;
    this.client = new Http1ClientConnection(new Connection(connected.socket, UNUSED_HANDLER), {
      onReusable: () => pool.onReusable(this),
      onClosed: () => pool.onClosed(this),
      onProtocolError: () => pool.onProtocolError(),
    });
    this.idleTimer = new IdleTimer(timers, idleTimeoutMs, () => {
      if (this.isActive) this.idleTimer.restart();
      else this.client.close();
    });
    if (maxConnectionDurationMs > 0) {
      this.#ageTimer = timers.set(() => {
        this.isTooOld = true;
        if (!this.isActive) this.client.close();
      }, maxConnectionDurationMs);
    }
  }

  stopTimers(): void {
    this.idleTimer.stop();
    this.#ageTimer?.cancel();
  }
}

/**
 * Connections to one host over one transport: each carries one request at a time, the last used is used first.
 *
 * A request that finds none idle waits, and a connection is made for it, as far as the cluster's breakers allow. All counting
 * of connections and requests, in breakers, stats and host, happens here.
 */
export class Http1Pool {
  readonly #options: PoolOptions;
  readonly #idle: Entry[] = [];
  readonly #entries = new Set<Entry>();
  readonly #waiters: PoolWaiter[] = [];
  readonly #connecting = new Set<() => void>();
  #draining = false;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Nothing is open, being opened, or waited for. */
  get isEmpty(): boolean {
    return this.#entries.size === 0 && this.#connecting.size === 0 && this.#waiters.length === 0;
  }

  /** Gets a connection for one request. */
  acquire(waiter: PoolWaiter): void {
    const { breakers, stats } = this.#options;
    for (let entry = this.#idle.pop(); entry !== undefined; entry = this.#idle.pop()) {
      if (entry.client.connection.isClosed) continue;
      this.#attach(entry, waiter);
      return;
    }
    if (!breakers.tryTake(BreakerKind.pending)) {
      stats.rqPendingOverflow.inc();
      if (this.isEmpty) this.#options.onEmpty();
      waiter.onPoolFailed('overflow', '');
      return;
    }
    stats.rqPendingTotal.inc();
    stats.rqPendingActive.add(1);
    this.#waiters.push(waiter);
    this.#connectForWaiters();
  }

  /** Takes back a request that still waits. */
  cancel(waiter: PoolWaiter): void {
    const at = this.#waiters.indexOf(waiter);
    if (at === -1) return;
    this.#waiters.splice(at, 1);
    this.#releasePending();
  }

  /** Closes what is idle, and the rest when its exchange is over. Requests that wait already are served first. */
  drain(): void {
    this.#draining = true;
    for (const entry of this.#idle.splice(0)) entry.client.close();
  }

  /** Closes everything at once; requests in flight see their connection end. */
  close(): void {
    this.#draining = true;
    for (const cancel of this.#connecting) cancel();
    for (const entry of this.#entries) entry.client.close();
    this.#failWaiters('local connection failure', '');
  }

  onReusable(entry: Entry): void {
    this.#detach(entry);
    const { maxRequestsPerConnection } = this.#options;
    const isSpent = maxRequestsPerConnection > 0 && entry.client.requestCount >= maxRequestsPerConnection;
    if (isSpent || entry.isTooOld) {
      entry.client.close();
      return;
    }
    const waiter = this.#waiters.shift();
    if (waiter === undefined) {
      if (this.#draining) {
        entry.client.close();
        return;
      }
      entry.idleTimer.touch();
      this.#idle.push(entry);
      return;
    }
    this.#releasePending();
    this.#attach(entry, waiter);
  }

  onClosed(entry: Entry): void {
    const { breakers, stats, host } = this.#options;
    if (entry.isActive) {
      stats.cxDestroyWithActiveRq.inc();
      this.#detach(entry);
    }
    entry.stopTimers();
    this.#entries.delete(entry);
    const at = this.#idle.indexOf(entry);
    if (at !== -1) this.#idle.splice(at, 1);
    breakers.release(BreakerKind.connections);
    stats.cxActive.add(-1);
    stats.cxRxBytesTotal.inc(entry.client.connection.bytesRead);
    stats.cxTxBytesTotal.inc(entry.client.connection.bytesWritten);
    host.counts.cxActive -= 1;
    this.#connectForWaiters();
    if (this.isEmpty) this.#options.onEmpty();
  }

  onProtocolError(): void {
    this.#options.stats.cxProtocolError.inc();
  }

  #attach(entry: Entry, waiter: PoolWaiter): void {
    const { breakers, stats, host } = this.#options;
    if (!breakers.tryTake(BreakerKind.requests)) {
      stats.rqPendingOverflow.inc();
      this.#idle.push(entry);
      waiter.onPoolFailed('overflow', '');
      return;
    }
    entry.isActive = true;
    host.active += 1;
    host.counts.rqTotal += 1;
    stats.rqTotal.inc();
    stats.rqActive.add(1);
    waiter.onPoolReady(entry);
  }

  #detach(entry: Entry): void {
    if (!entry.isActive) return;
    const { breakers, stats, host } = this.#options;
    entry.isActive = false;
    host.active -= 1;
    stats.rqActive.add(-1);
    breakers.release(BreakerKind.requests);
  }

  #releasePending(): void {
    this.#options.breakers.release(BreakerKind.pending);
    this.#options.stats.rqPendingActive.add(-1);
  }

  #connectForWaiters(): void {
    while (this.#connecting.size < this.#waiters.length) {
      const { breakers, stats } = this.#options;
      if (!breakers.tryTake(BreakerKind.connections)) {
        stats.cxOverflow.inc();
        // Other hosts may hold every connection of the cluster: one is always allowed here, or nothing would ever be served.
        if (this.#entries.size > 0 || this.#connecting.size > 0) return;
        breakers.take(BreakerKind.connections);
      }
      this.#connect();
    }
  }

  #connect(): void {
    const { stats, host, timers } = this.#options;
    const startMs = timers.nowMs();
    stats.cxTotal.inc();
    stats.cxActive.add(1);
    host.counts.cxTotal += 1;
    host.counts.cxActive += 1;
    const cancel = this.#options.connect({
      onConnected: (connected) => {
        this.#connecting.delete(abandon);
        stats.cxConnectMs.record(timers.nowMs() - startMs);
        if (connected.tls !== undefined) stats.sslHandshake.inc();
        const entry = new Entry(this, connected, this.#options);
        this.#entries.add(entry);
        this.onReusable(entry);
      },
      onFailed: (reason, detail) => {
        this.#connecting.delete(abandon);
        this.#uncountConnection();
        stats.cxConnectFail.inc();
        host.counts.cxConnectFail += 1;
        if (reason === 'connection timeout') stats.cxConnectTimeout.inc();
        if (detail.startsWith('TLS_error')) stats.sslConnectionError.inc();
        if (detail.includes('verify SAN')) stats.sslFailVerifySan.inc();
        this.#failWaiters(reason, detail);
        if (this.isEmpty) this.#options.onEmpty();
      },
    });
    const abandon = (): void => {
      this.#connecting.delete(abandon);
      cancel();
      this.#uncountConnection();
    };
    this.#connecting.add(abandon);
  }

  #uncountConnection(): void {
    const { breakers, stats, host } = this.#options;
    breakers.release(BreakerKind.connections);
    stats.cxActive.add(-1);
    host.counts.cxActive -= 1;
  }

  /** As Envoy: when a connection cannot be made, all that wait are told; each may be retried elsewhere. */
  #failWaiters(reason: ResetReason, detail: string): void {
    for (const waiter of this.#waiters.splice(0)) {
      this.#releasePending();
      this.#options.stats.rqPendingFailureEject.inc();
      waiter.onPoolFailed(reason, detail);
    }
  }
}
