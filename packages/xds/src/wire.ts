/**
 * Just enough of protobuf's wire format to write envelopes around bytes that are already encoded.
 *
 * Only length-delimited fields are written: strings, bytes and nested messages.
 */
export type WireField = readonly [fieldNumber: number, value: string | Uint8Array];

const LENGTH_DELIMITED = 2;

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length++;
  return length;
}

function writeVarint(target: Buffer, offset: number, value: number): number {
  let at = offset;
  let rest = value;
  while (rest >= 0x80) {
    target[at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  target[at++] = rest;
  return at;
}

/** Encodes a message from its fields, in the order given. Empty strings are left out, as proto3 does; empty bytes are not. */
export function encodeWireMessage(fields: readonly WireField[]): Buffer {
  const present = fields.filter(([, value]) => value !== '');
  let total = 0;
  for (const [fieldNumber, value] of present) {
    const byteLength = typeof value === 'string' ? Buffer.byteLength(value) : value.byteLength;
    total += varintLength(fieldNumber * 8 + LENGTH_DELIMITED) + varintLength(byteLength) + byteLength;
  }
  const message = Buffer.allocUnsafe(total);
  let offset = 0;
  for (const [fieldNumber, value] of present) {
    const byteLength = typeof value === 'string' ? Buffer.byteLength(value) : value.byteLength;
    offset = writeVarint(message, offset, fieldNumber * 8 + LENGTH_DELIMITED);
    offset = writeVarint(message, offset, byteLength);
    if (typeof value === 'string') message.write(value, offset);
    else message.set(value, offset);
    offset += byteLength;
  }
  return message;
}
