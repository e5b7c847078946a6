import { HeaderMap } from '../header-map.ts';
import { latin1Slice } from '../latin1.ts';
import { hasToken, IS_TARGET, IS_TOKEN, IS_VALUE, KNOWN_METHODS, lowerCaseName } from './grammar.ts';

/** What the fields of a head say about framing and the connection. */
export interface FieldBlock {
  readonly headers: HeaderMap;
  host: string | undefined;
  hostCount: number;
  contentLength: number;
  chunked: boolean;
  connectionClose: boolean;
  connectionKeepAlive: boolean;
  /** Value of `Upgrade`, lower case, when `Connection` names it. */
  upgrade: string | undefined;
  expectContinue: boolean;
}

/** A request line. */
export interface RequestLine {
  readonly method: string;
  readonly target: string;
  readonly minorVersion: 0 | 1;
}

/** A status line. */
export interface StatusLine {
  readonly status: number;
  readonly minorVersion: 0 | 1;
}

/** A head that is not HTTP, with the status that says so. */
export class HeadError extends Error {
  readonly status: number;

  constructor(status: number, details: string) {
    super(details);
    this.status = status;
  }
}

const CR = 0x0d;
const SPACE = 0x20;
const TAB = 0x09;
const COLON = 0x3a;

/** The longest Content-Length that counts exactly; Envoy's limit is 2^63-1, no body comes near either. */
const MAX_CONTENT_LENGTH = Number.MAX_SAFE_INTEGER;

function fail(details: string, status = 400): never {
  throw new HeadError(status, details);
}

function lineEnd(bytes: Buffer, start: number, end: number): number {
  const at = bytes.indexOf(CR, start);
  return at === -1 || at > end ? end : at;
}

function parseVersion(text: string): 0 | 1 {
  if (text === 'HTTP/1.1') return 1;
  if (text === 'HTTP/1.0') return 0;
  if (/^HTTP\/\d\.\d$/.test(text)) fail('low_version', 426);
  return fail('http1.codec_error');
}

/**
 * Reads the first line of a request.
 *
 * @param end Offset of the CR that ends the line.
 * @throws HeadError
 */
export function parseRequestLine(bytes: Buffer, start: number, end: number): RequestLine {
  const methodEnd = bytes.indexOf(SPACE, start);
  if (methodEnd === -1 || methodEnd >= end) fail('http1.codec_error');
  let targetEnd = methodEnd + 1;
  while (targetEnd < end && IS_TARGET[bytes[targetEnd] as number] === 1) targetEnd += 1;
  if (targetEnd === methodEnd + 1 || bytes[targetEnd] !== SPACE || targetEnd >= end) fail('http1.codec_error');
  const method = latin1Slice(bytes, start, methodEnd);
  if (!KNOWN_METHODS.has(method)) fail('http1.codec_error');
  return {
    method,
    target: latin1Slice(bytes, methodEnd + 1, targetEnd),
    minorVersion: parseVersion(latin1Slice(bytes, targetEnd + 1, end)),
  };
}

/**
 * Reads the first line of a response; the reason phrase may be missing.
 *
 * @throws HeadError
 */
export function parseStatusLine(bytes: Buffer, start: number, end: number): StatusLine {
  const minorVersion = parseVersion(latin1Slice(bytes, start, Math.min(start + 8, end)));
  const code = latin1Slice(bytes, start + 9, start + 12);
  if (bytes[start + 8] !== SPACE || end < start + 12 || !/^[1-9]\d\d$/.test(code)) fail('http1.codec_error');
  if (end > start + 12 && bytes[start + 12] !== SPACE) fail('http1.codec_error');
  for (let at = start + 13; at < end; at++) if (IS_VALUE[bytes[at] as number] === 0) fail('http1.codec_error');
  return { status: Number(code), minorVersion };
}

function readContentLength(block: FieldBlock, value: string): void {
  // Even equal duplicates are refused: two fields are two chances for another hop to pick the other one.
  if (block.contentLength !== -1 || value.length === 0 || value.length > 16) fail('http1.codec_error');
  let length = 0;
  for (let at = 0; at < value.length; at++) {
    const digit = value.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) fail('http1.codec_error');
    length = length * 10 + digit;
  }
  if (length > MAX_CONTENT_LENGTH) fail('http1.codec_error');
  block.contentLength = length;
}

function readSpecialField(block: FieldBlock, name: string, value: string): void {
  switch (name) {
    case 'host':
      block.hostCount += 1;
      block.host = value;
      return;
    case 'content-length':
      readContentLength(block, value);
      return;
    case 'transfer-encoding':
      if (block.chunked || value.toLowerCase() !== 'chunked') fail('http1.invalid_transfer_encoding', 501);
      block.chunked = true;
      return;
    case 'connection':
      if (hasToken(value, 'close')) block.connectionClose = true;
      if (hasToken(value, 'keep-alive')) block.connectionKeepAlive = true;
      return;
    case 'expect':
      if (value.toLowerCase() === '100-continue') block.expectContinue = true;
      return;
    default:
  }
}

/**
 * Reads the fields of a head, strictly: CRLF line ends only, no folding, no space before the colon, no control bytes.
 *
 * @param start Offset of the first field line; may equal `end` when there is none.
 * @param end Offset of the CRLF CRLF that ends the head, that is, of the last field's CR.
 * @param keepHost Responses keep a Host field among the others.
 * @throws HeadError
 */
export function parseFields(
  bytes: Buffer,
  start: number,
  end: number,
  maxFields: number,
  keepHost: boolean,
): FieldBlock {
  const headers = new HeaderMap();
  const block: FieldBlock = {
    headers,
    host: undefined,
    hostCount: 0,
    contentLength: -1,
    chunked: false,
    connectionClose: false,
    connectionKeepAlive: false,
    upgrade: undefined,
    expectContinue: false,
  };
  let at = start;
  while (at < end) {
    const nameStart = at;
    while (IS_TOKEN[bytes[at] as number] === 1) at += 1;
    if (at === nameStart || bytes[at] !== COLON) fail('http1.codec_error');
    const name = lowerCaseName(latin1Slice(bytes, nameStart, at));
    at += 1;
    while (bytes[at] === SPACE || bytes[at] === TAB) at += 1;
    const valueStart = at;
    while (IS_VALUE[bytes[at] as number] === 1) at += 1;
    // The head ends in CRLF CRLF, so a run of value bytes always stops inside the buffer.
    if (bytes[at] !== CR || bytes[at + 1] !== 0x0a)
      fail(bytes[at] === CR ? 'http1.codec_error' : 'http1.invalid_characters');
    let valueEnd = at;
    while (valueEnd > valueStart && (bytes[valueEnd - 1] === SPACE || bytes[valueEnd - 1] === TAB)) valueEnd -= 1;
    at += 2;
    const value = latin1Slice(bytes, valueStart, valueEnd);
    readSpecialField(block, name, value);
    if (name === 'host' && !keepHost) continue;
    if (headers.names.length === maxFields) fail('http1.too_many_headers', 431);
    headers.names.push(name);
    headers.values.push(value);
  }
  readUpgrade(block);
  return block;
}

function readUpgrade(block: FieldBlock): void {
  const upgrade = block.headers.get('upgrade');
  if (upgrade === undefined) return;
  const connection = block.headers.joined('connection');
  if (connection !== undefined && hasToken(connection, 'upgrade')) block.upgrade = upgrade.trim().toLowerCase();
}

/** Offset of the CR that ends the first line; at most `end`. */
export function firstLineEnd(bytes: Buffer, start: number, end: number): number {
  return lineEnd(bytes, start, end);
}

/**
 * Whether some line feed in [start, end) does not follow a carriage return: such bytes can never become a valid head, so there
 * is no point in waiting for its end.
 */
export function hasBareLineFeed(bytes: Buffer, start: number, end: number): boolean {
  for (let at = bytes.indexOf(0x0a, start); at !== -1 && at < end; at = bytes.indexOf(0x0a, at + 1)) {
    if (at === 0 || bytes[at - 1] !== CR) return true;
  }
  return false;
}
