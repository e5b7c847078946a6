import { STATUS_CODES } from 'node:http';
import type { HeaderMap } from '../header-map.ts';

const statusLines: string[] = [];

/** `HTTP/1.1 200 OK` with its line end. */
export function statusLine(status: number): string {
  let line = statusLines[status];
  if (line === undefined) {
    line = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n`;
    statusLines[status] = line;
  }
  return line;
}

/** Fields as they go on the wire, each with its line end; the caller adds framing and the empty line. */
export function fieldLines(headers: HeaderMap): string {
  const { names, values } = headers;
  let text = '';
  for (let at = 0; at < names.length; at++) text += `${names[at]}: ${values[at]}\r\n`;
  return text;
}

/** The line that precedes the bytes of a chunk. */
export function chunkHead(byteCount: number): string {
  return `${byteCount.toString(16)}\r\n`;
}

/** Behind the bytes of a chunk. */
export const CHUNK_END = '\r\n';

/** The last chunk, without trailers. */
export const LAST_CHUNK = '0\r\n\r\n';
