/** Record types that the server knows by name. */
export const RECORD_TYPE = { A: 1, CNAME: 5, SOA: 6, PTR: 12, AAAA: 28, SRV: 33, OPT: 41, ANY: 255 } as const;

/** Response codes. */
export const RCODE = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  nameError: 3,
  notImplemented: 4,
  refused: 5,
} as const;

const CLASS_IN = 1;
const HEADER_BYTES = 12;
const MAX_NAME_BYTES = 255;

/** Where the question's name begins: answers about it point there instead of repeating it. */
const QUESTION_NAME_POINTER = 0xc000 | HEADER_BYTES;

const FLAG = {
  response: 0x8000,
  authoritative: 0x0400,
  truncated: 0x0200,
  recursionDesired: 0x0100,
  recursionAvailable: 0x0080,
} as const;

/** The smallest answer that every client takes over UDP. */
const MIN_UDP_BYTES = 512;

/** A question, as read from a message. */
export interface DnsQuery {
  readonly id: number;
  readonly opcode: number;
  readonly isRecursionDesired: boolean;
  /** In lower case, without the final dot. */
  readonly name: string;
  readonly type: number;
  /** Bytes that the client takes in one datagram. */
  readonly maxUdpBytes: number;
  readonly hasEdns: boolean;
  /** The question as it was sent, name in its own case: some clients check that it comes back unchanged. */
  readonly question: Buffer;
}

/** A record without its class, which is always IN. */
export type DnsRecord = { readonly name: string; readonly ttlSeconds: number } & (
  | { readonly type: 'A'; readonly address: string }
  | { readonly type: 'CNAME'; readonly target: string }
  | { readonly type: 'PTR'; readonly target: string }
  | { readonly type: 'SRV'; readonly target: string; readonly port: number }
  | { readonly type: 'SOA'; readonly primary: string; readonly minimumSeconds: number }
);

/** An answer, before it is written as a message. */
export interface DnsResponse {
  readonly rcode: number;
  readonly answers: readonly DnsRecord[];
  readonly authority: readonly DnsRecord[];
}

/** @returns The name and the offset behind it, or `undefined` when it is malformed. */
function decodeName(message: Buffer, start: number): { readonly name: string; readonly end: number } | undefined {
  const labels: string[] = [];
  let offset = start;
  for (;;) {
    const length = message[offset];
    // A question's name is never compressed: a pointer is malformed as well.
    if (length === undefined || length > 63 || offset + 1 + length > message.length) return undefined;
    if (length === 0) return { name: labels.join('.').toLowerCase(), end: offset + 1 };
    labels.push(message.toString('latin1', offset + 1, offset + 1 + length));
    offset += 1 + length;
    if (offset - start > MAX_NAME_BYTES) return undefined;
  }
}

/** The OPT record is the only one that queries carry; it stands right behind the question. */
function decodeEdnsSize(message: Buffer, offset: number): number | undefined {
  const isOpt =
    message.readUInt16BE(10) > 0 &&
    message.length >= offset + 11 &&
    message[offset] === 0 &&
    message.readUInt16BE(offset + 1) === RECORD_TYPE.OPT;
  return isOpt ? message.readUInt16BE(offset + 3) : undefined;
}

/** Reads a query of one question. @returns `undefined` for anything else: it gets no answer, or a format error. */
export function decodeQuery(message: Buffer): DnsQuery | undefined {
  if (message.length < HEADER_BYTES + 5) return undefined;
  const flags = message.readUInt16BE(2);
  if ((flags & FLAG.response) !== 0 || message.readUInt16BE(4) !== 1) return undefined;
  const decoded = decodeName(message, HEADER_BYTES);
  if (decoded === undefined || message.length < decoded.end + 4) return undefined;
  const end = decoded.end + 4;
  const ednsSize = decodeEdnsSize(message, end);
  return {
    id: message.readUInt16BE(0),
    opcode: (flags >> 11) & 0xf,
    isRecursionDesired: (flags & FLAG.recursionDesired) !== 0,
    name: decoded.name,
    type: message.readUInt16BE(decoded.end),
    maxUdpBytes: Math.max(MIN_UDP_BYTES, ednsSize ?? MIN_UDP_BYTES),
    hasEdns: ednsSize !== undefined,
    question: message.subarray(HEADER_BYTES, end),
  };
}

function encodeName(name: string): Buffer {
  if (name === '') return Buffer.of(0);
  const labels = name.split('.').map((label) => {
    const bytes = Buffer.from(label, 'latin1');
    return Buffer.concat([Buffer.of(bytes.length), bytes]);
  });
  return Buffer.concat([...labels, Buffer.of(0)]);
}

function encodeData(record: DnsRecord): Buffer {
  switch (record.type) {
    case 'A':
      return Buffer.from(record.address.split('.').map(Number));
    case 'CNAME':
    case 'PTR':
      return encodeName(record.target);
    case 'SRV': {
      const fixed = Buffer.alloc(6);
      fixed.writeUInt16BE(0, 0);
      fixed.writeUInt16BE(100, 2);
      fixed.writeUInt16BE(record.port, 4);
      return Buffer.concat([fixed, encodeName(record.target)]);
    }
    case 'SOA': {
      const numbers = Buffer.alloc(20);
      // Serial, refresh, retry, expire mean something to secondary servers only; the last bounds negative caching.
      [1, 7200, 1800, 86_400, record.minimumSeconds].forEach((value, index) => numbers.writeUInt32BE(value, index * 4));
      return Buffer.concat([encodeName(record.primary), encodeName(`hostmaster.${record.primary}`), numbers]);
    }
  }
}

function encodeRecord(record: DnsRecord, questionName: string): Buffer {
  const name =
    record.name === questionName
      ? Buffer.of(QUESTION_NAME_POINTER >> 8, QUESTION_NAME_POINTER & 0xff)
      : encodeName(record.name);
  const data = encodeData(record);
  const head = Buffer.alloc(10);
  head.writeUInt16BE(RECORD_TYPE[record.type], 0);
  head.writeUInt16BE(CLASS_IN, 2);
  head.writeUInt32BE(record.ttlSeconds, 4);
  head.writeUInt16BE(data.length, 8);
  return Buffer.concat([name, head, data]);
}

/** The OPT record of an answer: our own limit, no options. */
function ednsRecord(): Buffer {
  const record = Buffer.alloc(11);
  record.writeUInt16BE(RECORD_TYPE.OPT, 1);
  record.writeUInt16BE(1232, 3);
  return record;
}

/**
 * Writes an answer.
 *
 * @param maxBytes A longer answer is sent without records and marked as truncated: the client asks again over TCP.
 */
export function encodeResponse(query: DnsQuery, response: DnsResponse, maxBytes: number): Buffer {
  const encode = (records: readonly DnsRecord[]): Buffer[] => records.map((record) => encodeRecord(record, query.name));
  const build = ({ answers, authority }: Omit<DnsResponse, 'rcode'>, flags: number): Buffer => {
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt16BE(query.id, 0);
    const recursionDesired = query.isRecursionDesired ? FLAG.recursionDesired : 0;
    header.writeUInt16BE(
      FLAG.response | FLAG.recursionAvailable | (query.opcode << 11) | recursionDesired | flags | response.rcode,
      2,
    );
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(answers.length, 6);
    header.writeUInt16BE(authority.length, 8);
    header.writeUInt16BE(query.hasEdns ? 1 : 0, 10);
    const extra = query.hasEdns ? [ednsRecord()] : [];
    return Buffer.concat([header, query.question, ...encode(answers), ...encode(authority), ...extra]);
  };
  const full = build(response, FLAG.authoritative);
  if (full.length <= maxBytes) return full;
  return build({ answers: [], authority: [] }, FLAG.authoritative | FLAG.truncated);
}
