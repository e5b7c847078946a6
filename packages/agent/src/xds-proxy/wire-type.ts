/**
 * Reads a string field of an encoded protobuf message without decoding the rest, which may be megabytes of resources.
 *
 * @returns Empty when the field is not there, as proto3 writes it, or when the bytes are no message.
 */
export function readWireString(message: Buffer, fieldNumber: number): string {
  let at = 0;
  while (at < message.length) {
    const tag = readVarint(message, at);
    if (tag === undefined) return '';
    at = tag.next;
    const field = Math.floor(tag.value / 8);
    switch (tag.value % 8) {
      case 0: {
        const skipped = readVarint(message, at);
        if (skipped === undefined) return '';
        at = skipped.next;
        break;
      }
      case 1:
        at += 8;
        break;
      case 2: {
        const length = readVarint(message, at);
        if (length === undefined) return '';
        if (field === fieldNumber) return message.toString('utf8', length.next, length.next + length.value);
        at = length.next + length.value;
        break;
      }
      case 5:
        at += 4;
        break;
      default:
        return '';
    }
  }
  return '';
}

function readVarint(bytes: Buffer, offset: number): { readonly value: number; readonly next: number } | undefined {
  let value = 0;
  for (let at = offset, factor = 1; at < bytes.length && at < offset + 8; at += 1, factor *= 128) {
    const byte = bytes[at] ?? 0;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return { value, next: at + 1 };
  }
  return undefined;
}
