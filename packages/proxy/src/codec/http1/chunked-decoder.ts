import { hexDigitValue } from './grammar.ts';

const MAX_SIZE_DIGITS = 16;
const MAX_EXTENSION_BYTES = 4096;
const CR = 0x0d;
const LF = 0x0a;

const State = {
  sizeStart: 0,
  size: 1,
  extension: 2,
  sizeLf: 3,
  data: 4,
  dataCr: 5,
  dataLf: 6,
  trailerStart: 7,
  trailer: 8,
  trailerLf: 9,
  endLf: 10,
} as const;

/** Takes the chunked coding off a body, byte by byte where the coding is, in slices where the data is. */
export class ChunkedDecoder {
  #state: number = State.sizeStart;
  #remaining = 0;
  #digits = 0;
  #lineBytes = 0;
  readonly #maxTrailerBytes: number;
  /** The last chunk and the trailers (which are dropped) have been read. */
  done = false;
  /** The coding is broken; nothing after this point can be trusted. */
  failed = false;

  constructor(maxTrailerBytes: number) {
    this.#maxTrailerBytes = maxTrailerBytes;
  }

  /**
   * Reads from `start` until the body ends or the bytes do.
   *
   * @param onData Gets slices of `bytes`.
   * @returns The offset of the first byte that is not part of the body.
   */
  decode(bytes: Buffer, start: number, onData: (chunk: Buffer) => void): number {
    let at = start;
    while (at < bytes.length && !this.done && !this.failed) {
      if (this.#state === State.data) {
        const end = Math.min(bytes.length, at + this.#remaining);
        this.#remaining -= end - at;
        if (this.#remaining === 0) this.#state = State.dataCr;
        onData(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
        at = end;
      } else {
        this.#step(bytes[at] as number);
        at += 1;
      }
    }
    return at;
  }

  #step(byte: number): void {
    switch (this.#state) {
      case State.sizeStart:
      case State.size:
        this.#readSize(byte);
        return;
      case State.extension:
        this.#lineBytes += 1;
        if (byte === CR) this.#state = State.sizeLf;
        else if (byte === LF || byte === 0 || this.#lineBytes > MAX_EXTENSION_BYTES) this.failed = true;
        return;
      case State.sizeLf:
        if (byte !== LF) this.failed = true;
        this.#lineBytes = 0;
        this.#state = this.#remaining === 0 ? State.trailerStart : State.data;
        return;
      case State.dataCr:
        this.#expect(byte, CR, State.dataLf);
        return;
      case State.dataLf:
        this.#expect(byte, LF, State.sizeStart);
        return;
      case State.trailerStart:
        this.#readTrailer(byte, byte === CR ? State.endLf : State.trailer);
        return;
      case State.trailer:
        this.#readTrailer(byte, byte === CR ? State.trailerLf : State.trailer);
        return;
      case State.trailerLf:
        this.#expect(byte, LF, State.trailerStart);
        return;
      default:
        if (byte === LF) this.done = true;
        else this.failed = true;
    }
  }

  #expect(byte: number, wanted: number, next: number): void {
    if (byte === wanted) this.#state = next;
    else this.failed = true;
  }

  #readSize(byte: number): void {
    const digit = hexDigitValue(byte);
    if (digit !== -1) {
      if (this.#state === State.sizeStart) {
        this.#remaining = 0;
        this.#digits = 0;
      }
      this.#digits += 1;
      this.#remaining = this.#remaining * 16 + digit;
      this.#state = State.size;
      if (this.#digits > MAX_SIZE_DIGITS || this.#remaining > Number.MAX_SAFE_INTEGER) this.failed = true;
      return;
    }
    if (this.#state === State.sizeStart) this.failed = true;
    else if (byte === CR) this.#state = State.sizeLf;
    else if (byte === 0x3b) this.#state = State.extension;
    else this.failed = true;
  }

  #readTrailer(byte: number, next: number): void {
    this.#lineBytes += 1;
    if (byte === LF || byte === 0 || this.#lineBytes > this.#maxTrailerBytes) this.failed = true;
    else this.#state = next;
  }
}
