import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { createSecureContext, type SecureContext, TLSSocket, type TLSSocketOptions } from 'node:tls';
import type { RuntimeDownstreamTls } from '../config/runtime-config.ts';
import type { TimerHandle, Timers } from '../network/timers.ts';
import { chooseAlpn } from './alpn.ts';
import type { ClientHello } from './client-hello.ts';
import { type CertificateFacts, ownUri, readCertificate } from './peer-certificate.ts';
import { isSameMaterial, resolveMaterial, type SecretStore, type TlsMaterial } from './secret-store.ts';
import { compileSanMatchers, type SubjectAltNames } from './subject-alt-names.ts';

/** Why a handshake was refused; each is a stat of the listener. */
export type HandshakeFailure =
  | 'fail_verify_no_cert'
  | 'fail_verify_error'
  | 'fail_verify_san'
  | 'connection_error'
  | 'timeout'
  | 'no_secret';

/** A connection whose peer was verified as far as its chain demands. */
export interface SecureConnection {
  readonly socket: TLSSocket;
  /** Undefined when the client showed no certificate, which only a chain that requires none lets through. */
  readonly peer: CertificateFacts | undefined;
  readonly localUri: string;
  /** Negotiated; empty when there was no overlap. */
  readonly alpn: string;
}

/** What happens to a handshake; exactly one is called, once. */
export interface HandshakeEvents {
  onSecure(connection: SecureConnection): void;
  onFailure(failure: HandshakeFailure, detail: string): void;
}

/** What a chain's TLS is made of. */
export interface DownstreamTlsOptions {
  readonly chainName: string;
  readonly tls: RuntimeDownstreamTls;
  readonly secrets: SecretStore;
  readonly timers: Timers;
  /** 48 bytes, the same in all workers; read at each context, so that rotated keys take effect. */
  readonly ticketKeys: () => Buffer;
  readonly handshakeTimeoutMs: number;
}

/** Methods of TLS handles that Node does not document. */
interface TlsHandle {
  /** Null when the peer's chain is trusted. */
  verifyError(): Error | null;
}

interface Context {
  readonly material: TlsMaterial;
  readonly ticketKeys: Buffer;
  readonly localUri: string;
  readonly matchesSan: (names: SubjectAltNames) => boolean;
  readonly optionsByAlpn: Map<string, TLSSocketOptions>;
  readonly secureContext: SecureContext;
}

/**
 * Terminates TLS for one filter chain. **No other module may construct a server `TLSSocket`**: that constructor enforces
 * neither the client's chain, nor a handshake timeout, nor what a resumed session was once verified against.
 *
 * What this module adds, before the first byte is handed on:
 * - the verdict of OpenSSL on the client's chain (`verifyError`), which the bare constructor ignores;
 * - exactly one SPIFFE URI among the client's names, and the chain's SAN matchers;
 * - a timeout for the handshake;
 * - a session id context that depends on what is trusted: when trust changes, older sessions are declined and the client is
 *   verified afresh.
 */
export class DownstreamTls {
  readonly #options: DownstreamTlsOptions;
  #context: Context | undefined;

  constructor(options: DownstreamTlsOptions) {
    this.#options = options;
  }

  /**
   * Runs the handshake on a socket whose peeked bytes were given back by `unshift`.
   *
   * @returns A function that gives the handshake up.
   */
  accept(socket: Socket, hello: ClientHello, events: HandshakeEvents): () => void {
    const context = this.#currentContext();
    if (typeof context === 'string') {
      socket.destroy();
      events.onFailure('no_secret', `secret ${context} is not there yet`);
      return () => {};
    }
    const secure = new TLSSocket(socket, this.#optionsFor(context, chooseAlpn(this.#options.tls.alpn, hello.alpn)));
    new Handshake(secure, this.#options, context, events).start();
    return () => secure.destroy();
  }

  /** @returns The context for the secrets as they are now, or the name of a missing one. */
  #currentContext(): Context | string {
    const { tls, secrets, ticketKeys } = this.#options;
    const resolved = resolveMaterial(secrets, tls.certificateSecretNames, tls.validation);
    if (!resolved.ok) return resolved.missing;
    const keys = ticketKeys();
    const current = this.#context;
    if (current !== undefined && current.ticketKeys === keys && isSameMaterial(current.material, resolved.material)) {
      return current;
    }
    this.#context = this.#createContext(resolved.material, keys);
    return this.#context;
  }

  #createContext(material: TlsMaterial, ticketKeys: Buffer): Context {
    const { chainName, tls } = this.#options;
    const { certificates, trust } = material;
    const sanMatchers = [...(tls.validation?.sanMatchers ?? []), ...(trust?.sanMatchers ?? [])];
    const trustHash = createHash('sha256')
      .update(
        JSON.stringify([chainName, trust?.trustedCaPem, trust?.crlPems, sanMatchers, tls.requireClientCertificate]),
      )
      .digest('hex');
    const secureContext = createSecureContext({
      cert: certificates.map(({ certificateChainPem }) => certificateChainPem),
      key: certificates.map(({ privateKeyPem }) => privateKeyPem),
      ...(trust === undefined ? {} : { ca: trust.trustedCaPem }),
      ...(trust === undefined || trust.crlPems.length === 0 ? {} : { crl: [...trust.crlPems] }),
      minVersion: tls.minVersion,
      maxVersion: tls.maxVersion,
      ...(tls.ciphers.length === 0 ? {} : { ciphers: tls.ciphers.join(':') }),
      ticketKeys,
      // OpenSSL takes at most 32 bytes.
      sessionIdContext: trustHash.slice(0, 32),
    });
    return {
      material,
      ticketKeys,
      localUri: certificates[0] === undefined ? '' : ownUri(certificates[0].certificateChainPem),
      matchesSan: compileSanMatchers(sanMatchers),
      optionsByAlpn: new Map(),
      secureContext,
    };
  }

  #optionsFor(context: Context, alpn: string): TLSSocketOptions {
    const known = context.optionsByAlpn.get(alpn);
    if (known !== undefined) return known;
    const { tls } = this.#options;
    const options: TLSSocketOptions = Object.freeze({
      isServer: true,
      secureContext: context.secureContext,
      requestCert: tls.validation !== undefined || tls.requireClientCertificate,
      // Refuses only a client without any certificate; the chain's verdict is taken in `Handshake`.
      rejectUnauthorized: tls.requireClientCertificate,
      ...(alpn === '' ? {} : { ALPNProtocols: [alpn] }),
    });
    context.optionsByAlpn.set(alpn, options);
    return options;
  }
}

class Handshake {
  readonly #socket: TLSSocket;
  readonly #options: DownstreamTlsOptions;
  readonly #context: Context;
  readonly #events: HandshakeEvents;
  #timer: TimerHandle | undefined;
  #settled = false;

  constructor(socket: TLSSocket, options: DownstreamTlsOptions, context: Context, events: HandshakeEvents) {
    this.#socket = socket;
    this.#options = options;
    this.#context = context;
    this.#events = events;
  }

  start(): void {
    const { timers, handshakeTimeoutMs } = this.#options;
    this.#timer = timers.set(() => this.#refuse('timeout', 'handshake timeout'), handshakeTimeoutMs);
    this.#socket.once('secure', () => this.#onSecure());
    // The errors of a handshake come as `_tlsError`, later ones as `error`; both must be listened to.
    this.#socket.on('_tlsError', (error: Error) => this.#onError(error));
    this.#socket.on('error', (error: Error) => this.#onError(error));
    this.#socket.once('close', () => this.#refuse('connection_error', 'closed during the handshake'));
  }

  #onError(error: Error & { readonly code?: string }): void {
    const noCertificate = error.code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE';
    this.#refuse(noCertificate ? 'fail_verify_no_cert' : 'connection_error', error.message);
  }

  #onSecure(): void {
    if (this.#settled) return;
    const verdict = this.#verifyPeer();
    if (!verdict.ok) {
      this.#refuse(verdict.failure, verdict.detail);
      return;
    }
    this.#settled = true;
    this.#timer?.cancel();
    this.#events.onSecure({
      socket: this.#socket,
      peer: verdict.peer,
      localUri: this.#context.localUri,
      alpn: typeof this.#socket.alpnProtocol === 'string' ? this.#socket.alpnProtocol : '',
    });
  }

  #verifyPeer():
    | { readonly ok: true; readonly peer: CertificateFacts | undefined }
    | { readonly ok: false; readonly failure: HandshakeFailure; readonly detail: string } {
    const { tls } = this.#options;
    const certificate = this.#socket.getPeerX509Certificate();
    if (certificate === undefined) {
      if (tls.requireClientCertificate) return { ok: false, failure: 'fail_verify_no_cert', detail: 'no certificate' };
      return { ok: true, peer: undefined };
    }
    const peer = readCertificate(certificate);
    if (peer === undefined) return { ok: false, failure: 'fail_verify_san', detail: 'unreadable subject alt names' };
    if (tls.validation === undefined) return { ok: true, peer };
    const handle = (this.#socket as TLSSocket & { readonly _handle?: TlsHandle | null })._handle;
    // Without a handle there is no verdict, and without a verdict no trust.
    const error = handle == null ? new Error('no verdict') : handle.verifyError();
    if (error !== null) return { ok: false, failure: 'fail_verify_error', detail: error.message };
    const spiffeCount = peer.names.uri.filter((uri) => uri.startsWith('spiffe://')).length;
    if (spiffeCount > 1 || (spiffeCount === 0 && tls.spiffeIdentity !== 'optional')) {
      return { ok: false, failure: 'fail_verify_san', detail: `${spiffeCount} SPIFFE names, one is needed` };
    }
    if (!this.#context.matchesSan(peer.names)) {
      return { ok: false, failure: 'fail_verify_san', detail: 'no subject alt name matches' };
    }
    return { ok: true, peer };
  }

  #refuse(failure: HandshakeFailure, detail: string): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#timer?.cancel();
    this.#socket.destroy();
    this.#events.onFailure(failure, detail);
  }
}
