/** Methods of Node's buffers that its types leave out: `toString` and `write` without choosing among encodings on each call. */
interface Latin1Methods {
  latin1Slice(start: number, end: number): string;
  latin1Write(text: string, offset: number): number;
}

/** Bytes [start, end) as text, one character a byte. */
export function latin1Slice(bytes: Buffer, start: number, end: number): string {
  return (bytes as Buffer & Latin1Methods).latin1Slice(start, end);
}

/**
 * Writes text, one byte a character.
 *
 * @returns How many bytes were written.
 */
export function latin1Write(bytes: Buffer, text: string, offset: number): number {
  return (bytes as Buffer & Latin1Methods).latin1Write(text, offset);
}
