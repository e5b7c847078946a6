const NEWLINE = 0x0a;

/**
 * Cuts a byte stream into lines, wherever the chunks end (also inside a UTF-8 character).
 *
 * @param maxBytes A longer line is an error: it would otherwise grow without bound.
 */
export function createLineSplitter(maxBytes: number): {
  /** @returns The lines that this chunk completes, without their ends; blank ones are left out. */
  push(chunk: Buffer): readonly string[];
  /** Bytes of the unfinished line. */
  readonly pendingBytes: number;
} {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  return {
    push(chunk) {
      const lines: string[] = [];
      let start = 0;
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
        pending.push(chunk.subarray(start, end));
        const line = (pending.length === 1 ? (pending[0] as Buffer) : Buffer.concat(pending)).toString('utf8').trim();
        if (line !== '') lines.push(line);
        pending = [];
        pendingBytes = 0;
        start = end + 1;
      }
      if (start < chunk.length) {
        pending.push(chunk.subarray(start));
        pendingBytes += chunk.length - start;
      }
      if (pendingBytes > maxBytes) throw new RangeError(`a line is longer than ${maxBytes} bytes`);
      return lines;
    },
    get pendingBytes() {
      return pendingBytes;
    },
  };
}
