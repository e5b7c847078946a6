import type { CodecError } from '../streams.ts';
import { ChunkedDecoder } from './chunked-decoder.ts';
import {
  type FieldBlock,
  firstLineEnd,
  HeadError,
  hasBareLineFeed,
  parseFields,
  parseRequestLine,
  parseStatusLine,
  type RequestLine,
  type StatusLine,
} from './head-parser.ts';

/** What a parser reports, in order: one head, any number of bodies, one end; or an error. */
export interface MessageHandler<FirstLine> {
  /** @returns How the body that follows is delimited. */
  onHead(line: FirstLine, fields: FieldBlock): 'none' | 'length' | 'chunked' | 'close';
  onBody(chunk: Buffer): void;
  onMessageEnd(): void;
}

/** Limits of a message's head. */
export interface MessageLimits {
  readonly maxHeadBytes: number;
  readonly maxHeaders: number;
}

const HEAD_END = Buffer.from('\r\n\r\n', 'latin1');
const INITIAL_HELD_BYTES = 4096;

const Phase = { head: 0, length: 1, chunked: 2, close: 3, failed: 4 } as const;

/**
 * Parses one message after another from a byte stream, however it is cut.
 *
 * `execute` stops behind each message, so that its owner decides when the next one is looked at: pipelined requests wait in the
 * bytes that it did not take.
 */
export class MessageParser<FirstLine extends RequestLine | StatusLine> {
  readonly #limits: MessageLimits;
  readonly #handler: MessageHandler<FirstLine>;
  readonly #isRequest: boolean;
  #phase: number = Phase.head;
  #held: Buffer | undefined;
  #heldBytes = 0;
  #remaining = 0;
  #chunked: ChunkedDecoder | undefined;
  readonly #onChunk: (chunk: Buffer) => void;
  /** Set once; the connection cannot be parsed any further. */
  error: CodecError | undefined;

  constructor(kind: 'request' | 'response', limits: MessageLimits, handler: MessageHandler<FirstLine>) {
    this.#isRequest = kind === 'request';
    this.#limits = limits;
    this.#handler = handler;
    this.#onChunk = (chunk) => handler.onBody(chunk);
  }

  /** Between two messages, with nothing of the next one read. */
  get isIdle(): boolean {
    return this.#phase === Phase.head && this.#heldBytes === 0;
  }

  /** Inside a body that ends when the peer closes. */
  get endsWithConnection(): boolean {
    return this.#phase === Phase.close;
  }

  /**
   * Parses until the current message ends, an error, or the end of `bytes`.
   *
   * @returns How many bytes were taken. Fewer than given means that a message ended, or `error` is set.
   */
  execute(bytes: Buffer): number {
    switch (this.#phase) {
      case Phase.head:
        return this.#readHead(bytes);
      case Phase.length:
      case Phase.chunked:
      case Phase.close:
        return this.#readBody(bytes, 0);
      default:
        return 0;
    }
  }

  /** The peer closed: ends a body that only the close delimits. */
  finish(): void {
    if (this.#phase !== Phase.close) return;
    this.#phase = Phase.head;
    this.#handler.onMessageEnd();
  }

  #fail(error: CodecError): void {
    this.#phase = Phase.failed;
    this.error = error;
    this.#held = undefined;
  }

  #readHead(bytes: Buffer): number {
    let skipped = 0;
    // RFC 9112 section 2.2: a server ignores an empty line before the request line.
    if (this.#isRequest && this.#heldBytes === 0) {
      while (bytes[skipped] === 0x0d && bytes[skipped + 1] === 0x0a) skipped += 2;
      if (skipped === bytes.length) return skipped;
    }
    if (this.#heldBytes === 0) {
      const end = bytes.indexOf(HEAD_END, skipped);
      if (end !== -1) return this.#takeHead(bytes, skipped, end);
      this.#hold(bytes, skipped);
      return bytes.length;
    }
    const before = this.#heldBytes;
    this.#hold(bytes, 0);
    if (this.error !== undefined) return bytes.length;
    const held = this.#held as Buffer;
    const end = held.indexOf(HEAD_END, Math.max(0, before - 3));
    if (end === -1) return bytes.length;
    this.#heldBytes = 0;
    this.#held = undefined;
    const consumed = this.#takeHead(held.subarray(0, end + 4), 0, end) - before;
    if (this.error !== undefined) return bytes.length;
    return this.#phase === Phase.head ? consumed : this.#readBody(bytes, consumed);
  }

  /** Keeps the beginning of a head until the rest arrives, and refuses early what can never become one. */
  #hold(bytes: Buffer, start: number): void {
    const before = this.#heldBytes;
    const total = before + bytes.length - start;
    if (this.#held === undefined || this.#held.length < total) {
      // Zeroed, so that searching the whole buffer finds nothing that others left there.
      const grown = Buffer.alloc(Math.max(INITIAL_HELD_BYTES, total * 2));
      this.#held?.copy(grown, 0, 0, before);
      this.#held = grown;
    }
    bytes.copy(this.#held, before, start);
    this.#heldBytes = total;
    const headEnd = this.#held.indexOf(HEAD_END, Math.max(0, before - 3));
    const headBytes = headEnd === -1 ? total : headEnd;
    if (hasBareLineFeed(this.#held, before, headBytes)) this.#fail({ status: 400, details: 'http1.codec_error' });
    else if (headBytes > this.#limits.maxHeadBytes) this.#failTooLarge();
  }

  #failTooLarge(): void {
    this.#fail({ status: 431, details: 'http1.headers_too_large' });
  }

  /** @returns Offset behind what was taken: the head, and the part of the body that is in `bytes`. */
  #takeHead(bytes: Buffer, start: number, end: number): number {
    if (end - start > this.#limits.maxHeadBytes) {
      this.#failTooLarge();
      return start;
    }
    let framing: 'none' | 'length' | 'chunked' | 'close';
    let fields: FieldBlock;
    try {
      const lineEnd = firstLineEnd(bytes, start, end);
      const line = this.#isRequest ? parseRequestLine(bytes, start, lineEnd) : parseStatusLine(bytes, start, lineEnd);
      if (bytes[lineEnd + 1] !== 0x0a) throw new HeadError(400, 'http1.codec_error');
      fields = parseFields(bytes, lineEnd + 2, end, this.#limits.maxHeaders, !this.#isRequest);
      // The constructor's `kind` decides both the line and the handler's type.
      framing = this.#handler.onHead(line as FirstLine, fields);
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      this.#fail({ status: error.status, details: error.message });
      return start;
    }
    const bodyStart = end + 4;
    if (framing === 'none' || (framing === 'length' && fields.contentLength === 0)) {
      this.#handler.onMessageEnd();
      return bodyStart;
    }
    if (framing === 'length') {
      this.#phase = Phase.length;
      this.#remaining = fields.contentLength;
    } else if (framing === 'chunked') {
      this.#phase = Phase.chunked;
      this.#chunked = new ChunkedDecoder(this.#limits.maxHeadBytes);
    } else {
      this.#phase = Phase.close;
    }
    return bodyStart < bytes.length ? this.#readBody(bytes, bodyStart) : bodyStart;
  }

  /** @returns Offset behind the part of the body that was taken. */
  #readBody(bytes: Buffer, start: number): number {
    if (start >= bytes.length) return start;
    if (this.#phase === Phase.close) {
      this.#handler.onBody(start === 0 ? bytes : bytes.subarray(start));
      return bytes.length;
    }
    if (this.#phase === Phase.chunked) return this.#readChunked(bytes, start);
    const end = Math.min(bytes.length, start + this.#remaining);
    this.#remaining -= end - start;
    if (this.#remaining === 0) this.#phase = Phase.head;
    this.#handler.onBody(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end));
    if (this.#remaining === 0) this.#handler.onMessageEnd();
    return end;
  }

  #readChunked(bytes: Buffer, start: number): number {
    const decoder = this.#chunked as ChunkedDecoder;
    const end = decoder.decode(bytes, start, this.#onChunk);
    if (decoder.failed) {
      this.#fail({ status: 400, details: 'http1.codec_error' });
    } else if (decoder.done) {
      this.#chunked = undefined;
      this.#phase = Phase.head;
      this.#handler.onMessageEnd();
    }
    return end;
  }
}
