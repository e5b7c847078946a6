import { isIPv6 } from 'node:net';

/** Record types that are answered here; every other type is passed on. */
export const RECORD_TYPE = { a: 1, cname: 5, opt: 41, aaaa: 28 } as const;

/** Response codes that this server gives by itself. */
export const RESPONSE_CODE = { ok: 0, serverFailure: 2, notImplemented: 4 } as const;

/** What a client asks. */
export interface DnsQuestion {
  readonly id: number;
  /** Lower case, with the dot at the end. */
  readonly name: string;
  /** As the client wrote it: answers repeat it so. */
  readonly writtenName: string;
  readonly type: number;
  /** Names of the mesh are in {@link CLASS_IN} alone. */
  readonly class: number;
  /** End of the question section in the message. */
  readonly endOffset: number;
  readonly recursionDesired: boolean;
  /** Largest answer that the client takes over UDP. */
  readonly maxUdpBytes: number;
}

/** What this server answers by itself. */
export interface DnsAnswer {
  readonly responseCode: number;
  /** The name of the addresses, where it is not the one asked for. */
  readonly cname?: string | undefined;
  readonly addresses: readonly string[];
  readonly ttlSeconds: number;
}

const HEADER_BYTES = 12;
/** The Internet's class of names. */
export const CLASS_IN = 1;
const FLAG = { response: 0x8000, authoritative: 0x0400, truncated: 0x0200, recursion: 0x0100, available: 0x0080 };
const OPCODE_MASK = 0x7800;
const RESPONSE_CODE_MASK = 0x000f;
/** What a client takes that does not say more (RFC 1035, 4.2.1). */
const DEFAULT_UDP_BYTES = 512;
const MAX_NAME_BYTES = 255;

/**
 * Reads the first question of a message.
 *
 * @returns `undefined` when it has none, is not a standard query, or is malformed.
 */
export function parseQuestion(message: Buffer): DnsQuestion | undefined {
  if (message.length < HEADER_BYTES || message.readUInt16BE(4) === 0) return undefined;
  const flags = message.readUInt16BE(2);
  const isStandardQuery = (flags & FLAG.response) === 0 && (flags & OPCODE_MASK) === 0;
  const name = isStandardQuery ? readName(message, HEADER_BYTES) : undefined;
  if (name === undefined || name.endOffset + 4 > message.length) return undefined;
  return {
    id: message.readUInt16BE(0),
    name: name.text.toLowerCase(),
    writtenName: name.text,
    type: message.readUInt16BE(name.endOffset),
    class: message.readUInt16BE(name.endOffset + 2),
    endOffset: name.endOffset + 4,
    recursionDesired: (flags & FLAG.recursion) !== 0,
    maxUdpBytes: readUdpSize(message, name.endOffset + 4),
  };
}

/**
 * Builds a response. Addresses that do not fit are left out, and the client is told to come again over TCP.
 *
 * @param maxBytes Largest message that the client takes.
 */
export function buildResponse(query: Buffer, question: DnsQuestion, answer: DnsAnswer, maxBytes: number): Buffer {
  const { cname, addresses, ttlSeconds } = answer;
  // 0xc00c points to the name in the question.
  const asked = Buffer.from([0xc0, HEADER_BYTES]);
  const alias = cname === undefined ? undefined : encodeName(cname);
  const records = [
    ...(alias === undefined ? [] : [record(asked, RECORD_TYPE.cname, ttlSeconds, alias)]),
    ...addresses.map((address) => {
      const type = isIPv6(address) ? RECORD_TYPE.aaaa : RECORD_TYPE.a;
      return record(alias ?? asked, type, ttlSeconds, encodeAddress(address));
    }),
  ];
  let length = question.endOffset;
  const fitting = records.filter((bytes) => (length += bytes.length) <= maxBytes);
  const header = Buffer.alloc(HEADER_BYTES);
  const isAuthoritative = answer.responseCode === RESPONSE_CODE.ok;
  header.writeUInt16BE(question.id, 0);
  header.writeUInt16BE(
    FLAG.response |
      FLAG.available |
      (isAuthoritative ? FLAG.authoritative : 0) |
      (fitting.length < records.length ? FLAG.truncated : 0) |
      (question.recursionDesired ? FLAG.recursion : 0) |
      answer.responseCode,
    2,
  );
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(fitting.length, 6);
  return Buffer.concat([header, query.subarray(HEADER_BYTES, question.endOffset), ...fitting]);
}

/** A response too large for the client's UDP, without its records and with the mark that sends the client to TCP. */
export function truncateResponse(response: Buffer, question: DnsQuestion): Buffer {
  const header = Buffer.from(response.subarray(0, HEADER_BYTES));
  header.writeUInt16BE(header.readUInt16BE(2) | FLAG.truncated, 2);
  header.fill(0, 6);
  return Buffer.concat([header, response.subarray(HEADER_BYTES, question.endOffset)]);
}

/**
 * The answer to messages that are not queries, such as notifications and updates: a bare header that says so.
 *
 * @returns `undefined` for what is a query or a response, or is malformed.
 */
export function buildNotImplemented(message: Buffer): Buffer | undefined {
  if (message.length < HEADER_BYTES) return undefined;
  const flags = message.readUInt16BE(2);
  if ((flags & FLAG.response) !== 0 || (flags & OPCODE_MASK) === 0) return undefined;
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(message.readUInt16BE(0), 0);
  const kept = flags & (OPCODE_MASK | FLAG.recursion);
  header.writeUInt16BE(FLAG.response | kept | RESPONSE_CODE.notImplemented, 2);
  return header;
}

/** Puts the question back into an error that came without it: clients go by it. */
export function completeResponse(response: Buffer, query: Buffer, question: DnsQuestion): Buffer {
  if (!isBareError(response)) return response;
  const header = Buffer.from(response.subarray(0, HEADER_BYTES));
  header.fill(0, 4);
  header.writeUInt16BE(1, 4);
  return Buffer.concat([header, query.subarray(HEADER_BYTES, question.endOffset)]);
}

/**
 * Whether a message may be the answer to a question: same id, and a response to the same name, type and class. Servers that
 * could not read the question, or would not, say so without it.
 */
export function isResponseTo(response: Buffer, question: DnsQuestion): boolean {
  if (response.length < HEADER_BYTES || response.readUInt16BE(0) !== question.id) return false;
  if ((response.readUInt16BE(2) & FLAG.response) === 0) return false;
  if (isBareError(response)) return true;
  const name = readName(response, HEADER_BYTES);
  if (name === undefined || name.endOffset + 4 > response.length) return false;
  return (
    name.text.toLowerCase() === question.name &&
    response.readUInt16BE(name.endOffset) === question.type &&
    response.readUInt16BE(name.endOffset + 2) === question.class
  );
}

function isBareError(response: Buffer): boolean {
  const isError = (response.readUInt16BE(2) & RESPONSE_CODE_MASK) !== RESPONSE_CODE.ok;
  return isError && response.readUInt16BE(4) === 0;
}

function readName(message: Buffer, offset: number): { readonly text: string; readonly endOffset: number } | undefined {
  const labels: string[] = [];
  let at = offset;
  for (;;) {
    const length = message[at];
    // Questions have no compressed names: there is nothing before them to point to.
    if (length === undefined || length > 63 || at - offset > MAX_NAME_BYTES) return undefined;
    at += 1;
    if (length === 0) break;
    if (at + length > message.length) return undefined;
    labels.push(message.toString('latin1', at, at + length));
    at += length;
  }
  return { text: `${labels.join('.')}.`, endOffset: at };
}

/** From the first record after the question, where it is an OPT record (RFC 6891), which is where clients put it. */
function readUdpSize(message: Buffer, offset: number): number {
  const hasOnlyAdditional = message.readUInt16BE(6) === 0 && message.readUInt16BE(8) === 0;
  const isOpt =
    hasOnlyAdditional &&
    message.readUInt16BE(10) > 0 &&
    offset + 5 <= message.length &&
    message[offset] === 0 &&
    message.readUInt16BE(offset + 1) === RECORD_TYPE.opt;
  return isOpt ? Math.max(DEFAULT_UDP_BYTES, message.readUInt16BE(offset + 3)) : DEFAULT_UDP_BYTES;
}

function encodeName(name: string): Buffer {
  const labels = name.split('.').filter((label) => label !== '');
  return Buffer.concat([
    ...labels.map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label, 'latin1')])),
    Buffer.from([0]),
  ]);
}

function record(name: Buffer, type: number, ttlSeconds: number, data: Buffer): Buffer {
  const head = Buffer.alloc(10);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(CLASS_IN, 2);
  head.writeUInt32BE(ttlSeconds, 4);
  head.writeUInt16BE(data.length, 8);
  return Buffer.concat([name, head, data]);
}

function encodeAddress(address: string): Buffer {
  if (!isIPv6(address)) return Buffer.from(address.split('.').map(Number));
  // The URL parser writes every form of an address as groups without an IPv4 part.
  const canonical = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const groups = (text: string): readonly number[] =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
  const [head = '', tail = ''] = canonical.split('::');
  const [before, after] = [groups(head), groups(tail)];
  const all = [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}
