import type { Connection, ConnectionHandler } from '../../network/connection.ts';
import type { RequestHead, ResetReason } from '../message-heads.ts';
import type { RequestWriter, ResponseSink } from '../streams.ts';
import { type FieldBlock, HeadError, type StatusLine } from './head-parser.ts';
import { type MessageHandler, type MessageLimits, MessageParser } from './message-parser.ts';
import { CHUNK_END, chunkHead, fieldLines, LAST_CHUNK } from './serialize.ts';

/** What an upstream HTTP/1 connection tells its pool. */
export interface ClientConnectionEvents {
  /** The exchange is over and the connection can take another. */
  onReusable(): void;
  /** The connection is gone, whether or not an exchange was going on. */
  onClosed(): void;
  /** An upstream broke the protocol. */
  onProtocolError(): void;
}

/** Upstream heads may be as large as ours: 60 KiB, and 100 fields. */
const RESPONSE_LIMITS: MessageLimits = { maxHeadBytes: 61_440, maxHeaders: 100 };

/** The client side of an HTTP/1.1 connection: one exchange at a time. */
export class Http1ClientConnection implements ConnectionHandler, MessageHandler<StatusLine>, RequestWriter {
  readonly connection: Connection;
  readonly #events: ClientConnectionEvents;
  readonly #parser: MessageParser<StatusLine>;
  #sink: ResponseSink | undefined;
  #method = '';
  #chunkedRequest = false;
  #requestDone = true;
  #responseDone = true;
  #interim = false;
  #keepAlive = true;
  #tunnel = false;
  #closed = false;
  /** Exchanges begun. */
  requestCount = 0;

  constructor(connection: Connection, events: ClientConnectionEvents) {
    this.connection = connection;
    this.#events = events;
    this.#parser = new MessageParser('response', RESPONSE_LIMITS, this);
    connection.setHandler(this);
  }

  /** Begins an exchange; the connection must be reusable. */
  start(sink: ResponseSink): void {
    this.#sink = sink;
    this.requestCount += 1;
    this.#requestDone = false;
    this.#responseDone = false;
  }

  /** Closes an idle connection. */
  close(): void {
    this.connection.destroy();
  }

  sendHead(head: RequestHead): void {
    const { method, headers, authority } = head;
    this.#method = method;
    let text = `${method} ${method === 'CONNECT' ? authority : head.path} HTTP/1.1\r\n`;
    if (authority !== undefined) text += `host: ${authority}\r\n`;
    text += fieldLines(headers);
    this.#chunkedRequest =
      !head.endStream && head.upgrade === undefined && method !== 'CONNECT' && !headers.has('content-length');
    if (this.#chunkedRequest) text += 'transfer-encoding: chunked\r\n';
    this.connection.write(`${text}\r\n`);
    if (head.endStream) this.#requestDone = true;
  }

  sendData(chunk: Buffer): boolean {
    if (chunk.length === 0) return true;
    if (!this.#chunkedRequest) return this.connection.write(chunk);
    this.connection.write(chunkHead(chunk.length));
    this.connection.write(chunk);
    return this.connection.write(CHUNK_END);
  }

  sendEnd(): void {
    if (this.#requestDone) return;
    this.#requestDone = true;
    if (this.#tunnel) {
      this.connection.end();
      this.#closeFinishedTunnel();
    } else if (this.#chunkedRequest) {
      this.connection.write(LAST_CHUNK);
    }
  }

  startTunnel(): void {
    this.#tunnel = true;
    this.#requestDone = false;
  }

  reset(): void {
    this.#sink = undefined;
    this.connection.destroy();
  }

  pauseResponse(): void {
    this.connection.pause();
  }

  resumeResponse(): void {
    this.connection.resume();
  }

  onData(chunk: Buffer): void {
    if (this.#tunnel) {
      this.#sink?.onResponseData(chunk);
      return;
    }
    let bytes = chunk;
    while (bytes.length > 0) {
      if (this.#responseDone) {
        // Bytes that answer no request: whoever sent them could answer the next request with them.
        this.connection.destroy();
        return;
      }
      const taken = this.#parser.execute(bytes);
      if (this.#parser.error !== undefined) {
        this.#events.onProtocolError();
        this.#fail('protocol error', 'codec_error');
        this.connection.destroy();
        return;
      }
      if (this.connection.isClosed) return;
      bytes = taken === bytes.length ? bytes.subarray(taken) : bytes.subarray(taken);
      if (this.#tunnel) {
        if (bytes.length > 0) this.#sink?.onResponseData(bytes);
        return;
      }
    }
    if (this.#responseDone) this.#release();
  }

  onEnd(): void {
    if (this.#tunnel) {
      // As Envoy: the end of the upgraded response is the end of the stream, whatever the client might still send.
      this.#responseDone = true;
      this.#requestDone = true;
      const sink = this.#sink;
      this.#sink = undefined;
      sink?.onResponseEnd();
      this.#closeFinishedTunnel();
      return;
    }
    this.#keepAlive = false;
    this.#parser.finish();
    this.#fail('connection termination', '');
    this.connection.destroy();
  }

  onClose(error: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#fail('connection termination', error?.message ?? '');
    this.#events.onClosed();
  }

  onWritable(): void {
    this.#sink?.onUpstreamWritable();
  }

  onHead(line: StatusLine, fields: FieldBlock): 'none' | 'length' | 'chunked' | 'close' {
    const { status } = line;
    this.#interim = status < 200 && status !== 101;
    if (this.#interim) {
      this.#sink?.onInterimResponse(status);
      return 'none';
    }
    const framing = this.#responseFraming(status, fields);
    this.#keepAlive =
      !fields.connectionClose && (line.minorVersion === 1 || fields.connectionKeepAlive) && framing !== 'close';
    const endStream = framing === 'none' ? status !== 101 : framing === 'length' && fields.contentLength === 0;
    this.#sink?.onResponseHead({ status, headers: fields.headers, endStream });
    return framing;
  }

  onBody(chunk: Buffer): void {
    this.#sink?.onResponseData(chunk);
  }

  onMessageEnd(): void {
    if (this.#interim || this.#tunnel) return;
    this.#responseDone = true;
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.onResponseEnd();
  }

  #responseFraming(status: number, fields: FieldBlock): 'none' | 'length' | 'chunked' | 'close' {
    if (fields.chunked) {
      if (fields.contentLength !== -1) throw new HeadError(502, 'http1.content_length_and_chunked_not_allowed');
      fields.headers.remove('transfer-encoding');
    }
    if (status === 101 || status === 204 || status === 304 || this.#method === 'HEAD') return 'none';
    if (this.#method === 'CONNECT' && status < 300) return 'none';
    if (fields.chunked) return 'chunked';
    return fields.contentLength === -1 ? 'close' : 'length';
  }

  #release(): void {
    if (this.connection.isClosed) return;
    // A request still being sent would run into the next one.
    if (this.#keepAlive && this.#requestDone && !this.#tunnel) this.#events.onReusable();
    else this.connection.destroy();
  }

  #closeFinishedTunnel(): void {
    if (this.#requestDone && this.#responseDone) this.connection.destroy();
  }

  #fail(reason: ResetReason, detail: string): void {
    const sink = this.#sink;
    this.#sink = undefined;
    this.#responseDone = true;
    sink?.onUpstreamReset(reason, detail);
  }
}
