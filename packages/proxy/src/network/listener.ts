import type { Socket } from 'node:net';
import type { RuntimeListener } from '../config/runtime-config.ts';
import { compileFilterChains } from '../decide/filter-chain-match.ts';
import { canonicalIp, socketText } from '../decide/ip.ts';
import { matchPort } from '../decide/port-predicate.ts';
import { ResponseFlag } from '../decide/response-flags.ts';
import { type AccessLogger, compileAccessLogs } from '../filters/access-log/access-log.ts';
import type { ProxyContext } from '../filters/http/proxy-context.ts';
import { type DownstreamConnection, type DownstreamTlsFacts, NOTHING_SERVED } from '../filters/stream-record.ts';
import { ListenerStats } from '../stats/listener-stats.ts';
import type { HandshakeFailure, SecureConnection } from '../tls/downstream-tls.ts';
import type { FilterChain } from './filter-chain.ts';
import { type Inspection, inspectSocket, UNINSPECTED } from './inspect.ts';
import { originalDestination, type SocketAddress } from './original-dst.ts';

/** An accepted connection on its way to a filter chain. */
export interface AcceptedConnection {
  readonly id: number;
  readonly socket: Socket;
  readonly remote: SocketAddress;
  /** Where the client wanted to go. */
  readonly local: SocketAddress;
}

/** What a listener gets from its manager. */
export interface ListenerOptions {
  readonly context: ProxyContext;
  readonly chains: readonly FilterChain[];
  readonly defaultChain: FilterChain | undefined;
  /** Finds the listener for an original destination; undefined: the asking listener itself takes the connection. */
  readonly findHandOff: (from: Listener, destination: SocketAddress) => Listener | undefined;
  readonly nextConnectionId: () => number;
  /** The connection is closed, whatever became of it. */
  readonly onConnectionClosed: () => void;
}

/**
 * One listener: listener filters, hand-off by original destination, choice of a chain, TLS.
 *
 * It does not own its listening socket, which outlives it when the listener is updated.
 */
export class Listener {
  readonly config: RuntimeListener;
  readonly chains: readonly FilterChain[];
  readonly defaultChain: FilterChain | undefined;
  readonly #options: ListenerOptions;
  readonly #stats: ListenerStats;
  readonly #chooseChain: ReturnType<typeof compileFilterChains>;
  readonly #accessLoggers: readonly AccessLogger[];
  #connectionCount = 0;

  constructor(config: RuntimeListener, options: ListenerOptions) {
    this.config = config;
    this.#options = options;
    this.chains = options.chains;
    this.defaultChain = options.defaultChain;
    const { context } = options;
    this.#stats = new ListenerStats(context.stats, config.statPrefix ?? socketText(config.address, config.port));
    this.#chooseChain = compileFilterChains(config.filterChains.map(({ match }) => match));
    this.#accessLoggers = compileAccessLogs(config.accessLogs, context.accessLogs);
  }

  /** Takes a connection from the listening socket. */
  accept(socket: Socket): void {
    const { remoteAddress, remotePort, localAddress, localPort } = socket;
    if (
      remoteAddress === undefined ||
      localAddress === undefined ||
      remotePort === undefined ||
      localPort === undefined
    ) {
      socket.destroy();
      return;
    }
    // Errors before a session listens would otherwise end the process.
    socket.on('error', () => {});
    const { listenerFilters, useOriginalDst } = this.config;
    const direct = { address: canonicalIp(localAddress), port: localPort };
    const local = listenerFilters.originalDst ? (originalDestination(socket) ?? direct) : direct;
    const accepted: AcceptedConnection = {
      id: this.#options.nextConnectionId(),
      socket,
      remote: { address: canonicalIp(remoteAddress), port: remotePort },
      local,
    };
    const target = useOriginalDst ? this.#options.findHandOff(this, local) : undefined;
    (target ?? this).handle(accepted);
  }

  /** Takes a connection that is this listener's, its own or handed off to it. */
  handle(accepted: AcceptedConnection): void {
    const { connectionLimit } = this.config;
    if (connectionLimit !== undefined && this.#connectionCount >= connectionLimit) {
      this.#stats.cxOverflow.inc();
      accepted.socket.destroy();
      this.#options.onConnectionClosed();
      return;
    }
    this.#connectionCount += 1;
    this.#stats.cxTotal.inc();
    this.#stats.cxActive.add(1);
    this.#inspect(accepted);
  }

  #onClosed(): void {
    this.#connectionCount -= 1;
    this.#stats.cxActive.add(-1);
    this.#options.onConnectionClosed();
  }

  #inspect(accepted: AcceptedConnection): void {
    const { tlsInspector, httpInspector, timeoutMs, continueOnTimeout } = this.config.listenerFilters;
    const { port } = accepted.local;
    const isOn = (inspector: typeof tlsInspector): boolean =>
      inspector !== undefined && (inspector.disabled === undefined || !matchPort(inspector.disabled, port));
    const tls = isOn(tlsInspector);
    const http = isOn(httpInspector);
    if (!tls && !http) {
      this.#dispatch(accepted, UNINSPECTED);
      return;
    }
    this.#stats.preCxActive.add(1);
    const { timers } = this.#options.context;
    inspectSocket(
      accepted.socket,
      { tls, http, timeoutMs, continueOnTimeout, timers },
      {
        onInspected: (inspection) => {
          this.#stats.preCxActive.add(-1);
          if (tls) (inspection.transportProtocol === 'tls' ? this.#stats.tlsFound : this.#stats.tlsNotFound).inc();
          this.#dispatch(accepted, inspection);
        },
        onTimeout: () => {
          this.#stats.preCxActive.add(-1);
          this.#stats.preCxTimeout.inc();
          this.#refuse(accepted, false);
        },
        onGone: () => {
          this.#stats.preCxActive.add(-1);
          this.#refuse(accepted, false);
        },
      },
    );
  }

  #dispatch(accepted: AcceptedConnection, inspection: Inspection): void {
    const { remote, local, socket } = accepted;
    const index = this.#chooseChain({
      destinationIp: local.address,
      destinationPort: local.port,
      serverName: inspection.hello?.serverName ?? '',
      transportProtocol: inspection.transportProtocol,
      applicationProtocols: inspection.applicationProtocols,
      directSourceIp: remote.address,
      sourceIp: remote.address,
      sourcePort: remote.port,
    });
    const chain = index === undefined ? this.defaultChain : this.chains[index];
    if (chain === undefined) {
      this.#stats.noFilterChainMatch.inc();
      this.#logNoChain(accepted, inspection);
      this.#refuse(accepted, true);
      return;
    }
    if (chain.tls === undefined) {
      chain.serve(socket, this.#facts(accepted, chain, inspection, undefined), () => this.#onClosed());
      return;
    }
    // Without an inspector the hello was not seen: TLS then goes on without ALPN.
    chain.tls.accept(socket, inspection.hello ?? { serverName: '', alpn: [] }, {
      onSecure: (secure) => {
        this.#stats.sslHandshake.inc();
        if (secure.peer === undefined) this.#stats.sslNoCertificate.inc();
        const facts = this.#facts(accepted, chain, inspection, tlsFactsOf(secure));
        chain.serve(secure.socket, facts, () => this.#onClosed());
      },
      onFailure: (failure) => {
        this.#countFailure(failure);
        socket.destroy();
        this.#onClosed();
      },
    });
  }

  #facts(
    { id, remote, local }: AcceptedConnection,
    chain: FilterChain | undefined,
    inspection: Inspection,
    tls: DownstreamTlsFacts | undefined,
  ): DownstreamConnection {
    const { originalSrc } = this.config.listenerFilters;
    return {
      id,
      remoteIp: remote.address,
      remotePort: remote.port,
      localIp: local.address,
      localPort: local.port,
      clientSource: originalSrc === undefined ? undefined : { address: remote.address, mark: originalSrc.mark },
      tls,
      serverName: inspection.hello?.serverName ?? '',
      filterChainName: chain?.config.name ?? '',
    };
  }

  #countFailure(failure: HandshakeFailure): void {
    const stats = this.#stats;
    switch (failure) {
      case 'fail_verify_no_cert':
        stats.sslFailVerifyNoCert.inc();
        return;
      case 'fail_verify_error':
        stats.sslFailVerifyError.inc();
        return;
      case 'fail_verify_san':
        stats.sslFailVerifySan.inc();
        return;
      case 'timeout':
        stats.cxTransportSocketConnectTimeout.inc();
        return;
      default:
        stats.sslConnectionError.inc();
    }
  }

  /** @param isReset The client sent bytes that nobody will read: a reset says so at once. */
  #refuse({ socket }: AcceptedConnection, isReset: boolean): void {
    if (isReset && !socket.destroyed) socket.resetAndDestroy();
    else socket.destroy();
    this.#onClosed();
  }

  #logNoChain(accepted: AcceptedConnection, inspection: Inspection): void {
    if (this.#accessLoggers.length === 0) return;
    const connection = this.#facts(accepted, undefined, inspection, undefined);
    for (const log of this.#accessLoggers) {
      log({
        connection,
        startUnixMs: this.#options.context.timers.unixMs(),
        ...NOTHING_SERVED,
        responseCode: 0,
        responseCodeDetails: 'filter_chain_not_found',
        responseFlags: ResponseFlag.noRouteFound,
      });
    }
  }
}

function tlsFactsOf({ socket, peer, localUri, alpn }: SecureConnection): DownstreamTlsFacts {
  return {
    peer,
    localUri,
    alpn,
    get version() {
      return socket.getProtocol() ?? '';
    },
    get cipher() {
      return socket.getCipher().standardName;
    },
  };
}
