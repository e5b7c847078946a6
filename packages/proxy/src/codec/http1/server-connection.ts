import type { Connection, ConnectionHandler } from '../../network/connection.ts';
import type { TimerHandle, Timers } from '../../network/timers.ts';
import type { HeaderMap } from '../header-map.ts';
import type { CodecError, RequestHandler, RequestSink, ResponseWriter } from '../streams.ts';
import { type FieldBlock, HeadError, type RequestLine } from './head-parser.ts';
import { type MessageHandler, type MessageLimits, MessageParser } from './message-parser.ts';
import { buildRequestHead } from './request-target.ts';
import { CHUNK_END, chunkHead, fieldLines, LAST_CHUNK, statusLine } from './serialize.ts';

/** What a downstream HTTP/1 connection needs from its listener. */
export interface ServerConnectionOptions extends MessageLimits {
  readonly connection: Connection;
  readonly handler: RequestHandler;
  readonly isTls: boolean;
  /** A chunked message may carry Content-Length too; it is dropped. */
  readonly allowChunkedLength: boolean;
  /** How long we go on reading after our last byte, so that the client gets to see it before a reset. */
  readonly delayedCloseMs: number;
  /** How long a request's head may take from its first byte; 0: for ever. */
  readonly headTimeoutMs: number;
  readonly timers: Timers;
  /** Whether the response being sent is to be the connection's last (drain, request limit). */
  shouldClose(): boolean;
  /** A request has begun, or none is in progress any more. */
  onIdleChange(isIdle: boolean): void;
  onClosed(): void;
}

/** The response code details of a request whose head took too long, in Envoy's words. */
export const REQUEST_HEADER_TIMEOUT = 'request_header_timeout';

const NO_BYTES = Buffer.alloc(0);

/**
 * The server side of an HTTP/1.1 connection: one request at a time, pipelined ones wait in unread bytes.
 *
 * It owns framing, persistence and upgrades; what headers mean beyond that is the handler's business.
 */
export class Http1ServerConnection implements ConnectionHandler, MessageHandler<RequestLine>, ResponseWriter {
  readonly #options: ServerConnectionOptions;
  readonly #connection: Connection;
  readonly #parser: MessageParser<RequestLine>;
  #sink: RequestSink | undefined;
  #unread: Buffer = NO_BYTES;
  #requestDone = true;
  #responseDone = true;
  #headSent = false;
  #isHead = false;
  #minorVersion: 0 | 1 = 1;
  #keepAlive = true;
  #bodyCoding: 'none' | 'identity' | 'chunked' = 'none';
  #tunnel = false;
  #isReading = false;
  #isPaused = false;
  #isClosing = false;
  #closeTimer: TimerHandle | undefined;
  #headTimer: TimerHandle | undefined;

  constructor(options: ServerConnectionOptions) {
    this.#options = options;
    this.#connection = options.connection;
    this.#parser = new MessageParser('request', options, this);
    options.connection.setHandler(this);
  }

  /** No request is being served. */
  get isIdle(): boolean {
    return this.#requestDone && this.#responseDone;
  }

  /** Closes now if idle; a request in progress gets `connection: close` on its response through `shouldClose`. */
  closeIfIdle(): void {
    if (this.isIdle && this.#unread.length === 0) this.#closeGracefully();
  }

  onData(chunk: Buffer): void {
    if (this.#isClosing) return;
    if (this.#tunnel) {
      this.#sink?.onRequestData(chunk);
      return;
    }
    this.#unread = this.#unread.length === 0 ? chunk : Buffer.concat([this.#unread, chunk]);
    this.#read();
  }

  onEnd(): void {
    if (this.#tunnel && !this.#isClosing) {
      this.#requestDone = true;
      this.#sink?.onRequestEnd();
      this.#finishTunnel();
      return;
    }
    // As Envoy: a client that half-closes has gone away.
    this.#dropStream('downstream_remote_disconnect');
    this.#connection.destroy();
  }

  onClose(): void {
    this.#closeTimer?.cancel();
    this.#stopHeadTimer();
    this.#dropStream('downstream_remote_disconnect');
    this.#options.onClosed();
  }

  onWritable(): void {
    this.#sink?.onDownstreamWritable();
  }

  onHead(line: RequestLine, fields: FieldBlock): 'none' | 'length' | 'chunked' {
    this.#stopHeadTimer();
    const framing = this.#requestFraming(line, fields);
    const endStream = framing === 'none' || (framing === 'length' && fields.contentLength === 0);
    const upgrade = endStream && line.minorVersion === 1 ? fields.upgrade : undefined;
    const head = buildRequestHead(line, fields, { endStream, upgrade, isTls: this.#options.isTls });
    this.#minorVersion = line.minorVersion;
    this.#keepAlive = !fields.connectionClose && (line.minorVersion === 1 || fields.connectionKeepAlive);
    this.#isHead = line.method === 'HEAD';
    this.#requestDone = false;
    this.#responseDone = false;
    this.#headSent = false;
    this.#bodyCoding = 'none';
    this.#options.onIdleChange(false);
    const sink = this.#options.handler.onRequest(head, this);
    // The request may have been answered, and the connection closed, before the handler returned.
    if (!this.#responseDone) this.#sink = sink;
    return framing;
  }

  onBody(chunk: Buffer): void {
    this.#sink?.onRequestData(chunk);
  }

  onMessageEnd(): void {
    if (this.#requestDone) return;
    this.#requestDone = true;
    this.#sink?.onRequestEnd();
    this.#finishExchange();
  }

  sendContinue(): void {
    if (!this.#headSent) this.#connection.write('HTTP/1.1 100 Continue\r\n\r\n');
  }

  closeAfterResponse(): void {
    this.#keepAlive = false;
  }

  sendHead(status: number, headers: HeaderMap, endStream: boolean): void {
    if (this.#headSent || this.#responseDone) return;
    this.#headSent = true;
    let text = statusLine(status) + fieldLines(headers);
    if (status === 101) {
      this.#connection.write(`${text}\r\n`);
      return;
    }
    const hasBody = !this.#isHead && status !== 204 && status !== 304 && status >= 200;
    const hasLength = headers.has('content-length');
    if (hasBody) this.#bodyCoding = hasLength || endStream || this.#minorVersion === 0 ? 'identity' : 'chunked';
    if (this.#bodyCoding === 'chunked' || (this.#isHead && !hasLength && !endStream))
      text += 'transfer-encoding: chunked\r\n';
    else if (hasBody && endStream && !hasLength) text += 'content-length: 0\r\n';
    // HTTP/1.0 has no chunks: the end of such a body is the end of the connection.
    if (hasBody && !hasLength && !endStream && this.#minorVersion === 0) this.#keepAlive = false;
    if (endStream && !this.#requestDone && !this.#requestEndsWithHead) this.#keepAlive = false;
    if (this.#options.shouldClose()) this.#keepAlive = false;
    if (!this.#keepAlive) text += 'connection: close\r\n';
    else if (this.#minorVersion === 0) text += 'connection: keep-alive\r\n';
    this.#connection.write(`${text}\r\n`);
    if (endStream) this.sendEnd();
  }

  sendData(chunk: Buffer): boolean {
    if (this.#tunnel) return this.#connection.write(chunk);
    if (this.#responseDone || this.#bodyCoding === 'none' || chunk.length === 0) return true;
    if (this.#bodyCoding === 'identity') return this.#connection.write(chunk);
    this.#connection.write(chunkHead(chunk.length));
    this.#connection.write(chunk);
    return this.#connection.write(CHUNK_END);
  }

  sendEnd(): void {
    if (this.#responseDone) return;
    this.#responseDone = true;
    if (this.#tunnel) {
      this.#requestDone = true;
      this.#finishTunnel();
      return;
    }
    if (this.#bodyCoding === 'chunked') this.#connection.write(LAST_CHUNK);
    this.#finishExchange();
  }

  startTunnel(): void {
    this.#tunnel = true;
    this.#requestDone = false;
    this.#connection.resume();
    const early = this.#unread;
    this.#unread = NO_BYTES;
    if (early.length > 0) this.#sink?.onRequestData(early);
  }

  reset(): void {
    this.#sink = undefined;
    this.#responseDone = true;
    this.#connection.reset();
  }

  pauseRequest(): void {
    this.#isPaused = true;
    this.#connection.pause();
  }

  resumeRequest(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#read();
  }

  #requestEndsWithHead = false;

  #requestFraming(line: RequestLine, fields: FieldBlock): 'none' | 'length' | 'chunked' {
    if (fields.hostCount > 1) throw new HeadError(400, 'http1.codec_error');
    this.#requestEndsWithHead = true;
    if (fields.chunked) {
      if (line.minorVersion === 0) throw new HeadError(400, 'http1.codec_error');
      if (fields.contentLength !== -1) {
        if (!this.#options.allowChunkedLength) throw new HeadError(400, 'http1.content_length_and_chunked_not_allowed');
        fields.headers.remove('content-length');
        fields.contentLength = -1;
      }
      fields.headers.remove('transfer-encoding');
    }
    if (line.method === 'CONNECT') return 'none';
    if (fields.chunked) {
      this.#requestEndsWithHead = false;
      return 'chunked';
    }
    if (fields.contentLength <= 0) return 'none';
    this.#requestEndsWithHead = false;
    return 'length';
  }

  #read(): void {
    if (this.#isReading || this.#isClosing) return;
    this.#isReading = true;
    while (this.#unread.length > 0 && this.#mayParse) {
      const bytes = this.#unread;
      const taken = this.#parser.execute(bytes);
      if (this.#parser.error !== undefined) {
        this.#refuse(this.#parser.error);
        break;
      }
      this.#unread = taken === bytes.length ? NO_BYTES : bytes.subarray(taken);
    }
    this.#isReading = false;
    if (this.#isClosing || this.#tunnel) return;
    if (this.isIdle && !this.#parser.isIdle) this.#startHeadTimer();
    // Pipelined bytes wait here; the socket stops, so that a client cannot queue without bound.
    if (this.#unread.length > 0 || this.#isPaused) this.#connection.pause();
    else this.#connection.resume();
  }

  /** An idle connection may wait; whoever has begun a request has to come to an end with its head. */
  #startHeadTimer(): void {
    const { headTimeoutMs, timers } = this.#options;
    if (headTimeoutMs === 0) return;
    this.#headTimer ??= timers.set(() => this.#refuse({ status: 408, details: REQUEST_HEADER_TIMEOUT }), headTimeoutMs);
  }

  #stopHeadTimer(): void {
    this.#headTimer?.cancel();
    this.#headTimer = undefined;
  }

  get #mayParse(): boolean {
    if (this.#isClosing || this.#isPaused || this.#tunnel || this.#connection.isClosed) return false;
    return !this.#requestDone || this.#responseDone;
  }

  #finishExchange(): void {
    if (!this.#responseDone) return;
    this.#sink = undefined;
    if (!this.#requestDone && !this.#requestEndsWithHead) {
      // Answered before the request was read: what follows on this connection would be its body.
      this.#closeGracefully();
      return;
    }
    if (!this.#requestDone) return;
    if (!this.#keepAlive) {
      this.#closeGracefully();
      return;
    }
    this.#options.onIdleChange(true);
    // Later in this turn: the upstream connection of the finished exchange is then back in its pool.
    if (!this.#isReading) queueMicrotask(() => this.#read());
  }

  #finishTunnel(): void {
    if (!this.#requestDone || !this.#responseDone) return;
    this.#sink = undefined;
    this.#closeGracefully();
  }

  #refuse(error: CodecError): void {
    this.#unread = NO_BYTES;
    const hadSink = this.#sink !== undefined;
    if (hadSink) this.#dropStream(error.details);
    const reply =
      this.#headSent && !this.#responseDone ? undefined : this.#options.handler.onInvalidRequest(error, hadSink);
    if (reply === undefined) {
      this.#connection.reset();
      return;
    }
    const length = Buffer.byteLength(reply.body);
    this.#connection.write(
      `${statusLine(reply.status)}${fieldLines(reply.headers)}content-length: ${length}\r\nconnection: close\r\n\r\n${reply.body}`,
    );
    this.#closeGracefully();
  }

  #dropStream(details: string): void {
    const sink = this.#sink;
    this.#sink = undefined;
    this.#responseDone = true;
    sink?.onDownstreamReset(details);
  }

  #closeGracefully(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#unread = NO_BYTES;
    this.#stopHeadTimer();
    this.#connection.end();
    this.#connection.resume();
    this.#closeTimer = this.#options.timers.set(() => this.#connection.destroy(), this.#options.delayedCloseMs);
  }
}
