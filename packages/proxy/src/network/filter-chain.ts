import type { Socket } from 'node:net';
import { stableJson } from '@meltemi/base/pure';
import type { RuntimeFilterChain } from '../config/runtime-config.ts';
import { HttpConnectionManager } from '../filters/http/http-connection-manager.ts';
import type { ProxyContext } from '../filters/http/proxy-context.ts';
import type { NetworkSession } from '../filters/network-session.ts';
import type { DownstreamConnection } from '../filters/stream-record.ts';
import { TcpProxy } from '../filters/tcp/tcp-proxy.ts';
import { DownstreamTls } from '../tls/downstream-tls.ts';
import type { SecretStore } from '../tls/secret-store.ts';
import { Connection, type ConnectionHandler } from './connection.ts';

const UNUSED_HANDLER: ConnectionHandler = { onData() {}, onEnd() {}, onClose() {}, onWritable() {} };

/** Envoy leaves handshakes unlimited when no timeout is configured; nobody needs longer than this. */
const DEFAULT_HANDSHAKE_TIMEOUT_MS = 15_000;

/** What a chain gets from its listener. */
export interface FilterChainOptions {
  readonly context: ProxyContext;
  readonly secrets: SecretStore;
  readonly ticketKeys: () => Buffer;
  /** Whether responses are to ask their clients to go. */
  readonly shouldDrain: () => boolean;
}

/**
 * A filter chain at work: its TLS, its filters and its connections.
 *
 * A listener update keeps the chains whose configuration did not change, with their connections; the others drain.
 */
export class FilterChain {
  readonly config: RuntimeFilterChain;
  /** Equal for equal configurations. */
  readonly fingerprint: string;
  readonly tls: DownstreamTls | undefined;
  readonly #options: FilterChainOptions;
  readonly #http: HttpConnectionManager | undefined;
  readonly #tcp: TcpProxy | undefined;
  readonly #usesSniCluster: boolean;
  readonly #sessions = new Set<NetworkSession>();
  #isDraining = false;

  constructor(config: RuntimeFilterChain, options: FilterChainOptions) {
    this.config = config;
    this.#options = options;
    this.fingerprint = stableJson(config);
    const { context, secrets, ticketKeys } = options;
    const timeoutMs = config.transportSocketConnectTimeoutMs;
    this.tls =
      config.tls === undefined
        ? undefined
        : new DownstreamTls({
            chainName: config.name,
            tls: config.tls,
            secrets,
            timers: context.timers,
            ticketKeys,
            handshakeTimeoutMs: timeoutMs > 0 ? timeoutMs : DEFAULT_HANDSHAKE_TIMEOUT_MS,
          });
    const http = config.filters.find((filter) => filter.kind === 'http_connection_manager');
    const tcp = config.filters.find((filter) => filter.kind === 'tcp_proxy');
    this.#http = http === undefined ? undefined : new HttpConnectionManager(http, context);
    this.#tcp = tcp === undefined ? undefined : new TcpProxy(tcp, context);
    this.#usesSniCluster = config.filters.some(({ kind }) => kind === 'sni_cluster');
  }

  get connectionCount(): number {
    return this.#sessions.size;
  }

  /** Serves a connection whose transport is ready. */
  serve(socket: Socket, facts: DownstreamConnection, onClosed: () => void): void {
    const connection = new Connection(socket, UNUSED_HANDLER);
    let session: NetworkSession | undefined;
    let isClosed = false;
    const options = {
      shouldDrain: () => this.#isDraining || this.#options.shouldDrain(),
      onClosed: () => {
        isClosed = true;
        if (session !== undefined) this.#sessions.delete(session);
        onClosed();
      },
    };
    if (this.#http !== undefined) {
      session = this.#http.serve(connection, facts, options);
    } else if (this.#tcp !== undefined) {
      const sniCluster = this.#usesSniCluster ? facts.serverName : undefined;
      session = this.#tcp.serve(connection, facts, options, sniCluster);
    } else {
      connection.destroy();
      onClosed();
      return;
    }
    if (!isClosed) this.#sessions.add(session);
  }

  /** Asks all clients to go; see {@link NetworkSession.drain}. */
  drain(sparesIdle: boolean): void {
    this.#isDraining = true;
    for (const session of this.#sessions) session.drain(sparesIdle);
  }

  /** Closes all connections at once. */
  close(): void {
    for (const session of [...this.#sessions]) session.close();
  }
}
