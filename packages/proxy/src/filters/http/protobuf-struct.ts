/**
 * Decodes a `google.protobuf.Struct`. Workers load no protobuf library (22 MB a thread); this is the one message that reaches
 * them, in a header between sidecars.
 *
 * @returns Undefined when the bytes are not a Struct.
 */
export function decodeStruct(bytes: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    return readStruct(bytes, 0);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

const MAX_DEPTH = 8;

interface Field {
  readonly number: number;
  /** Varint or 64-bit payload as number, or the bytes of a length-delimited field. */
  readonly value: number | Buffer;
}

function readVarint(bytes: Buffer, start: number): { value: number; end: number } {
  let value = 0;
  let scale = 1;
  for (let at = start; at < start + 10; at++) {
    const byte = bytes.readUInt8(at);
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return { value, end: at + 1 };
    scale *= 128;
  }
  throw new RangeError('varint is too long');
}

function* readFields(bytes: Buffer): Generator<Field> {
  for (let at = 0; at < bytes.length; ) {
    const key = readVarint(bytes, at);
    const number = Math.floor(key.value / 8);
    const wireType = key.value % 8;
    if (wireType === 0) {
      const varint = readVarint(bytes, key.end);
      yield { number, value: varint.value };
      at = varint.end;
    } else if (wireType === 1) {
      yield { number, value: bytes.readDoubleLE(key.end) };
      at = key.end + 8;
    } else if (wireType === 2) {
      const length = readVarint(bytes, key.end);
      const end = length.end + length.value;
      if (end > bytes.length) throw new RangeError('field is cut off');
      yield { number, value: bytes.subarray(length.end, end) };
      at = end;
    } else {
      throw new RangeError(`wire type ${wireType} is not used by Struct`);
    }
  }
}

function readStruct(bytes: Buffer, depth: number): Record<string, unknown> {
  if (depth > MAX_DEPTH) throw new RangeError('Struct is nested too deep');
  // No prototype: a key such as `__proto__` is a key like any other.
  const object = Object.create(null) as Record<string, unknown>;
  for (const { number, value } of readFields(bytes)) {
    if (number !== 1 || typeof value === 'number') continue;
    let key = '';
    let member: unknown = null;
    for (const part of readFields(value)) {
      if (typeof part.value === 'number') continue;
      if (part.number === 1) key = part.value.toString('utf8');
      else if (part.number === 2) member = readValue(part.value, depth);
    }
    object[key] = member;
  }
  return object;
}

function readValue(bytes: Buffer, depth: number): unknown {
  let result: unknown = null;
  for (const { number, value } of readFields(bytes)) {
    if (number === 2) result = value;
    else if (number === 3 && typeof value !== 'number') result = value.toString('utf8');
    else if (number === 4) result = value !== 0;
    else if (number === 5 && typeof value !== 'number') result = readStruct(value, depth + 1);
    else if (number === 6 && typeof value !== 'number') {
      result = Array.from(readFields(value), (item) =>
        typeof item.value === 'number' ? null : readValue(item.value, depth + 1),
      );
    }
  }
  return result;
}
