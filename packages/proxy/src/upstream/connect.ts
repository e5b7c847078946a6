import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { ResetReason } from '../codec/message-heads.ts';
import type { RuntimeHostAddress, RuntimeTcpKeepalive } from '../config/runtime-config.ts';
import { dialMarked } from '../network/dial-marked.ts';
import { setKeepalive } from '../network/keepalive.ts';
import type { Timers } from '../network/timers.ts';
import { parseSubjectAltNames } from '../tls/subject-alt-names.ts';
import type { UpstreamTls, UpstreamTlsTarget } from '../tls/upstream-tls.ts';

/** What TLS settled with an upstream host. */
export interface UpstreamTlsFacts {
  /** The host's first URI name; empty when it has none. */
  readonly peerUri: string;
  readonly localUri: string;
  readonly alpn: string;
}

/** A connection that is ready for bytes. */
export interface ConnectedSocket {
  readonly socket: Socket;
  /** Undefined for plaintext. */
  readonly tls: UpstreamTlsFacts | undefined;
  /** Our address on it, `ip:port`. */
  readonly localAddress: string;
}

/** Exactly one is called, once. */
export interface ConnectEvents {
  onConnected(connected: ConnectedSocket): void;
  /** @param detail Text of `%UPSTREAM_TRANSPORT_FAILURE_REASON%`; empty for plain TCP failures without one. */
  onFailed(reason: ResetReason, detail: string): void;
}

/** Where and how to connect. */
export interface ConnectOptions {
  readonly address: RuntimeHostAddress;
  readonly mark: number | undefined;
  readonly bindAddress: string | undefined;
  /** A socket that has its source address and mark already; undefined: it is made with the two above. */
  readonly openSocket: () => Socket | undefined;
  readonly keepalive: RuntimeTcpKeepalive | undefined;
  /** For TCP and TLS together. */
  readonly timeoutMs: number;
  readonly timers: Timers;
  readonly tls: { readonly transport: UpstreamTls; readonly target: UpstreamTlsTarget } | undefined;
}

const ERROR_TEXTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'delayed connect error: Connection refused',
  EHOSTUNREACH: 'immediate connect error: No route to host',
  ENETUNREACH: 'immediate connect error: Network is unreachable',
  ECONNRESET: 'delayed connect error: Connection reset by peer',
};

function errorText(error: Error & { readonly code?: string }): string {
  return ERROR_TEXTS[error.code ?? ''] ?? error.message;
}

function localAddressOf(socket: Socket): string {
  return socket.localAddress === undefined ? '' : `${socket.localAddress}:${socket.localPort}`;
}

/**
 * Connects to an upstream host, TLS included.
 *
 * @returns A function that gives up; no event follows.
 */
export function connectUpstream(options: ConnectOptions, events: ConnectEvents): () => void {
  let raw: Socket;
  try {
    const { address, mark, bindAddress } = options;
    raw = dialMarked({ to: address, mark, bindAddress, bound: options.openSocket() });
  } catch (error) {
    const detail = (error as Error).message;
    queueMicrotask(() => events.onFailed('local connection failure', detail));
    return () => {};
  }
  let current: Socket = raw;
  let settled = false;
  const settle = (): boolean => {
    if (settled) return false;
    settled = true;
    timer.cancel();
    return true;
  };
  const fail = (reason: ResetReason, detail: string): void => {
    if (!settle()) return;
    current.destroy();
    raw.destroy();
    events.onFailed(reason, detail);
  };
  const timer = options.timers.set(() => fail('connection timeout', ''), options.timeoutMs);
  raw.on('error', (error) => fail('remote connection failure', errorText(error)));
  raw.once('close', () => fail('remote connection failure', ''));
  raw.once('connect', () => {
    if (settled) return;
    if (options.keepalive !== undefined) setKeepalive(raw, options.keepalive);
    if (options.tls === undefined) {
      if (settle()) events.onConnected({ socket: raw, tls: undefined, localAddress: localAddressOf(raw) });
      return;
    }
    const { transport, target } = options.tls;
    const secure = transport.connect(raw, target);
    if (typeof secure === 'string') {
      fail('remote connection failure', `TLS_error: secret ${secure} is not there yet`);
      return;
    }
    current = secure;
    secure.on('error', (error) => fail('remote connection failure', `TLS_error: ${error.message}`));
    secure.once('close', () => fail('remote connection failure', 'TLS_error: closed during the handshake'));
    secure.once('secureConnect', () => {
      if (!settle()) return;
      events.onConnected({ socket: secure, tls: tlsFacts(secure, transport), localAddress: localAddressOf(raw) });
    });
  });
  return () => {
    if (!settle()) return;
    current.destroy();
    raw.destroy();
  };
}

function tlsFacts(socket: TLSSocket, transport: UpstreamTls): UpstreamTlsFacts {
  const names = parseSubjectAltNames(socket.getPeerX509Certificate()?.subjectAltName);
  return {
    peerUri: names?.uri[0] ?? '',
    localUri: transport.localUri,
    alpn: typeof socket.alpnProtocol === 'string' ? socket.alpnProtocol : '',
  };
}
