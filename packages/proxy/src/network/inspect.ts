import type { Socket } from 'node:net';
import { latin1Slice } from '../codec/latin1.ts';
import { detectHttp } from '../decide/http-preface.ts';
import { type ClientHello, parseClientHello } from '../tls/client-hello.ts';
import type { TimerHandle, Timers } from './timers.ts';

/** What the first bytes of a connection told. */
export interface Inspection {
  readonly transportProtocol: 'tls' | 'raw_buffer';
  /** Set for TLS. */
  readonly hello: ClientHello | undefined;
  /** ALPN of the client, or what the plaintext is. */
  readonly applicationProtocols: readonly string[];
}

/** What is looked for, and how long. */
export interface InspectOptions {
  readonly tls: boolean;
  readonly http: boolean;
  /** 0 is no limit. */
  readonly timeoutMs: number;
  readonly continueOnTimeout: boolean;
  readonly timers: Timers;
}

/** Exactly one is called, once; bytes that were looked at have been given back to the socket. */
export interface InspectEvents {
  onInspected(inspection: Inspection): void;
  onTimeout(): void;
  /** The client went away before it told enough. */
  onGone(): void;
}

/** A ClientHello, or a first line, that needs more than this is neither. */
const MAX_PEEKED_BYTES = 16_384;

/** What is known without looking. */
export const UNINSPECTED: Inspection = {
  transportProtocol: 'raw_buffer',
  hello: undefined,
  applicationProtocols: [],
};

function inspectBytes(bytes: Buffer, { tls, http }: InspectOptions): Inspection | undefined {
  const isFull = bytes.length >= MAX_PEEKED_BYTES;
  if (tls) {
    const result = parseClientHello(bytes);
    if (result.kind === 'hello') {
      return { transportProtocol: 'tls', hello: result.hello, applicationProtocols: result.hello.alpn };
    }
    if (result.kind === 'incomplete' && !isFull) return undefined;
  }
  if (!http) return UNINSPECTED;
  const preface = detectHttp(latin1Slice(bytes, 0, Math.min(bytes.length, MAX_PEEKED_BYTES)));
  if (preface === 'incomplete' && !isFull) return undefined;
  if (preface === 'incomplete' || preface === 'not_http') return UNINSPECTED;
  return { transportProtocol: 'raw_buffer', hello: undefined, applicationProtocols: [preface] };
}

/** Without a configured timeout silence may last for ever, as with Envoy; whoever has begun a greeting has this long for the rest. */
const BEGINNING_TIMEOUT_MS = 10_000;

/**
 * Looks at the first bytes of an accepted socket without taking them.
 *
 * Reads by `readable` and `unshift`: `onread` is silently ignored on accepted sockets, and a `TLSSocket` feeds what was
 * unshifted to TLS first.
 */
export function inspectSocket(socket: Socket, options: InspectOptions, events: InspectEvents): void {
  const settle = (): void => {
    timer?.cancel();
    socket.off('readable', onReadable);
    socket.off('end', onGone);
    socket.off('error', onGone);
    socket.off('close', onGone);
  };
  const onGone = (): void => {
    settle();
    events.onGone();
  };
  let peeked: Buffer | undefined;
  const hand = (inspection: Inspection): void => {
    settle();
    if (peeked !== undefined) socket.unshift(peeked);
    events.onInspected(inspection);
  };
  const onReadable = (): void => {
    const bytes = socket.read() as Buffer | null;
    if (bytes === null) return;
    // Kept here until the verdict: `unshift` raises `readable` again at once, so giving an incomplete beginning back would
    // spin without ever reading more.
    peeked = peeked === undefined ? bytes : Buffer.concat([peeked, bytes]);
    const inspection = inspectBytes(peeked, options);
    if (inspection !== undefined) hand(inspection);
    else timer ??= startTimer(BEGINNING_TIMEOUT_MS);
  };
  const startTimer = (timeoutMs: number): TimerHandle =>
    options.timers.set(() => {
      if (options.continueOnTimeout) {
        hand(UNINSPECTED);
        return;
      }
      settle();
      events.onTimeout();
    }, timeoutMs);
  let timer = options.timeoutMs === 0 ? undefined : startTimer(options.timeoutMs);
  socket.on('readable', onReadable);
  socket.once('end', onGone);
  socket.once('error', onGone);
  socket.once('close', onGone);
}
