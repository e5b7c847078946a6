import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { latin1Write } from '../codec/latin1.ts';

/** Gets what happens on a connection. Replaced as a whole when a connection changes its owner. */
export interface ConnectionHandler {
  onData(chunk: Buffer): void;
  /** The peer will send no more; bytes may still go the other way. */
  onEnd(): void;
  /** The last event. `error` is set when the connection broke. */
  onClose(error: Error | undefined): void;
  /** After `write` said false: buffers are empty again. */
  onWritable(): void;
}

/** Pieces up to this size together are copied into one buffer: a copy costs less than a second system call. */
const MAX_MERGED_BYTES = 65_536;

let dirty: Connection[] = [];

function flushDirty(): void {
  const connections = dirty;
  dirty = [];
  for (const connection of connections) connection.flush();
}

/**
 * A socket (plain or TLS) with one handler, and with the writes of one turn of the event loop sent together.
 *
 * All bytes of a turn leave in one system call (`benchmarks/micro/proxy-http1.bench.ts`); a response head and its body would
 * otherwise cost two.
 */
export class Connection {
  readonly socket: Socket;
  #handler: ConnectionHandler;
  #pending: (Buffer | string)[] = [];
  #pendingBytes = 0;
  #isDirty = false;
  #ending = false;
  #closed = false;
  #error: Error | undefined;
  /** Bytes handed to `write` since the beginning. */
  bytesWritten = 0;
  /** Bytes handed to the handler since the beginning. */
  bytesRead = 0;

  constructor(socket: Socket, handler: ConnectionHandler) {
    this.socket = socket;
    this.#handler = handler;
    socket.on('data', (chunk: Buffer) => {
      this.bytesRead += chunk.length;
      this.#handler.onData(chunk);
    });
    socket.on('end', () => this.#handler.onEnd());
    socket.on('error', (error) => {
      this.#error = error;
    });
    socket.on('close', () => {
      this.#closed = true;
      this.#handler.onClose(this.#error);
    });
    socket.on('drain', () => this.#handler.onWritable());
  }

  /** Hands all further events to another owner. */
  setHandler(handler: ConnectionHandler): void {
    this.#handler = handler;
  }

  /** Nothing can be sent any more. */
  get isClosed(): boolean {
    return this.#closed || this.socket.destroyed;
  }

  /** Bytes accepted by `write` that the system has not taken yet. */
  get bufferedBytes(): number {
    return this.#pendingBytes + this.socket.writableLength;
  }

  /**
   * Queues bytes; they leave at the end of this turn.
   *
   * @param chunk Text is latin1.
   * @returns False when the sender should wait for `onWritable`.
   */
  write(chunk: Buffer | string): boolean {
    if (this.#ending || this.isClosed) return true;
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
    this.bytesWritten += chunk.length;
    if (this.#pendingBytes >= MAX_MERGED_BYTES) return this.flush();
    this.#markDirty();
    return !this.socket.writableNeedDrain;
  }

  /** Sends what is queued. */
  flush(): boolean {
    this.#isDirty = false;
    const pieces = this.#pending;
    if (pieces.length === 0) return !this.socket.writableNeedDrain;
    const totalBytes = this.#pendingBytes;
    this.#pending = [];
    this.#pendingBytes = 0;
    if (this.isClosed || this.socket.writableEnded) return true;
    const first = pieces[0] as Buffer | string;
    if (pieces.length === 1) {
      return typeof first === 'string' ? this.socket.write(first, 'latin1') : this.socket.write(first);
    }
    if (totalBytes <= MAX_MERGED_BYTES) return this.socket.write(mergePieces(pieces, totalBytes));
    this.socket.cork();
    for (const piece of pieces) {
      if (typeof piece === 'string') this.socket.write(piece, 'latin1');
      else this.socket.write(piece);
    }
    this.socket.uncork();
    return !this.socket.writableNeedDrain;
  }

  /** Sends what is queued, then ends our direction. */
  end(): void {
    if (this.#ending) return;
    this.flush();
    this.#ending = true;
    this.socket.end();
  }

  /** Closes at once; queued bytes are lost. */
  destroy(): void {
    this.#pending = [];
    this.#pendingBytes = 0;
    this.socket.destroy();
  }

  /**
   * Closes so that the peer cannot take what it got for complete: with a TCP reset, or under TLS (whose sockets Node cannot
   * reset) without the closing alert.
   */
  reset(): void {
    this.#pending = [];
    this.#pendingBytes = 0;
    if (this.socket.destroyed) return;
    if (this.socket instanceof TLSSocket) this.socket.destroy();
    else this.socket.resetAndDestroy();
  }

  /** Stops `onData`; the peer is held back by TCP. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  #markDirty(): void {
    if (this.#isDirty) return;
    this.#isDirty = true;
    if (dirty.length === 0) queueMicrotask(flushDirty);
    dirty.push(this);
  }
}

function mergePieces(pieces: readonly (Buffer | string)[], totalBytes: number): Buffer {
  const merged = Buffer.allocUnsafe(totalBytes);
  let at = 0;
  for (const piece of pieces) {
    if (typeof piece === 'string') {
      at += latin1Write(merged, piece, at);
    } else {
      at += piece.copy(merged, at);
    }
  }
  return merged;
}
