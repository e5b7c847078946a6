import type { JsonObject } from '../objects/json-value.ts';
import { isJsonObject } from '../objects/json-value.ts';
import type { Field, FieldShape, FieldTable } from './field-table.ts';

const MAGIC = Buffer.from([0x6b, 0x38, 0x73, 0x00]);

/** One field as it stands on the wire: a varint, the bits of a fixed number, or bytes. */
interface WireField {
  readonly number: number;
  readonly value: bigint | Buffer;
}

/** Splits a message into its fields. Throws RangeError where the bytes end early or make no sense. */
function* readFields(data: Buffer): Generator<WireField> {
  let offset = 0;
  const varint = (): bigint => {
    let result = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = data[offset++];
      if (byte === undefined) break;
      result |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, result);
    }
    throw new RangeError('unfinished number');
  };
  const bytes = (length: number): Buffer => {
    if (length > data.length - offset) throw new RangeError('a field is longer than its message');
    offset += length;
    return data.subarray(offset - length, offset);
  };
  while (offset < data.length) {
    const tag = varint();
    const wireType = Number(tag & 7n);
    const number = Number(tag >> 3n);
    if (wireType === 0) yield { number, value: varint() };
    else if (wireType === 1) yield { number, value: bytes(8) };
    else if (wireType === 2) yield { number, value: bytes(Number(varint())) };
    else if (wireType === 5) yield { number, value: bytes(4) };
    else throw new RangeError(`wire type ${wireType}`);
  }
}

function bytesOf(value: bigint | Buffer): Buffer {
  if (typeof value === 'bigint') throw new RangeError('a number where bytes were expected');
  return value;
}

function decodeTime(data: Buffer, fractionDigits: number): string {
  let seconds = 0n;
  let nanos = 0n;
  for (const { number, value } of readFields(data)) {
    if (number === 1) seconds = BigInt.asIntN(64, value as bigint);
    if (number === 2) nanos = value as bigint;
  }
  const text = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return fractionDigits === 0 ? `${text}Z` : `${text}.${String(nanos / 1000n).padStart(fractionDigits, '0')}Z`;
}

/** Integer-or-text: `{type = 1 (0 integer, 1 text), intVal = 2, strVal = 3}`. */
function decodeIntOrString(data: Buffer): number | string {
  const parts = new Map([...readFields(data)].map(({ number, value }) => [number, value]));
  if (parts.get(1) === 1n) return bytesOf(parts.get(3) ?? Buffer.alloc(0)).toString('utf8');
  return Number(BigInt.asIntN(32, (parts.get(2) as bigint | undefined) ?? 0n));
}

/** The first field of a message that wraps bytes: Quantity, FieldsV1, RawExtension, StringList. */
function unwrap(data: Buffer): Buffer {
  for (const { number, value } of readFields(data)) if (number === 1) return bytesOf(value);
  return Buffer.alloc(0);
}

function decodeScalar(letter: string, value: bigint | Buffer): unknown {
  switch (letter) {
    case 's':
      return bytesOf(value).toString('utf8');
    case 'b':
      return value !== 0n;
    case 'i':
      return Number(BigInt.asIntN(64, value as bigint));
    case 'd':
      return bytesOf(value).readDoubleLE();
    case 'y':
      return bytesOf(value).toString('base64');
    case 'T':
      return decodeTime(bytesOf(value), 0);
    case 'M':
      return decodeTime(bytesOf(value), 6);
    case 'Q':
      return unwrap(bytesOf(value)).toString('utf8');
    case 'O':
      return decodeIntOrString(bytesOf(value));
    default:
      return JSON.parse(unwrap(bytesOf(value)).toString('utf8') || '{}');
  }
}

function decodeMessage(table: FieldTable, name: string, data: Buffer): JsonObject {
  const object: JsonObject = {};
  const { byNumber } = table.message(name);
  for (const { number, value } of readFields(data)) {
    const field = byNumber.get(number);
    if (field !== undefined) addField(table, object, field, value);
  }
  return object;
}

function decodeValue(table: FieldTable, shape: FieldShape, value: bigint | Buffer): unknown {
  if (shape.of === 'scalar') return decodeScalar(shape.letter, value);
  if (shape.of === 'message') return decodeMessage(table, shape.message, bytesOf(value));
  if (shape.of === 'wrapped' && shape.item.of === 'list') {
    const { item } = shape.item;
    return [...readFields(bytesOf(value))].map((element) => decodeValue(table, item, element.value));
  }
  throw new RangeError(`a ${shape.of} inside a ${shape.of}`);
}

function addField(table: FieldTable, object: JsonObject, field: Field, value: bigint | Buffer): void {
  const { shape, name } = field;
  if (shape.of === 'list') {
    ((object[name] ??= []) as unknown[]).push(decodeValue(table, shape.item, value));
  } else if (shape.of === 'map') {
    const entry = new Map([...readFields(bytesOf(value))].map((part) => [part.number, part.value]));
    const key = bytesOf(entry.get(1) ?? Buffer.alloc(0)).toString('utf8');
    ((object[name] ??= {}) as JsonObject)[key] = decodeValue(table, shape.item, entry.get(2) ?? Buffer.alloc(0));
  } else if (name === '~') Object.assign(object, decodeValue(table, shape, value));
  else object[name] = decodeValue(table, shape, value);
}

/**
 * Removes what Go writes for "not set": the protobuf of Kubernetes has every non-pointer field on the wire, so an absent
 * text arrives as an empty one, an absent time as an empty message. JSON leaves these out, and defaults rest on that.
 */
function dropEmpty(value: unknown, keepAll = false): unknown {
  if (Array.isArray(value)) return value.map((item) => (isJsonObject(item) ? dropEmpty(item) : item));
  if (!isJsonObject(value)) return value;
  for (const [name, member] of Object.entries(value)) {
    if (isJsonObject(member)) dropEmpty(member, MAP_MEMBERS.has(name));
    else if (Array.isArray(member)) dropEmpty(member);
    const isEmptyScalar = member === '' || member === 0 || member === '1970-01-01T00:00:00Z';
    if (isEmptyScalar && !keepAll && !MEANINGFUL_WHEN_EMPTY.has(name)) delete value[name];
  }
  return value;
}

/** Maps whose values are the user's: an empty text there is a value. */
const MAP_MEMBERS = new Set([
  'labels',
  'annotations',
  'data',
  'stringData',
  'binaryData',
  'matchLabels',
  'nodeSelector',
  'selector',
  'extra',
]);

/** Pointer fields whose zero means something other than "not set". */
const MEANINGFUL_WHEN_EMPTY = new Set([
  'replicas',
  'runAsUser',
  'runAsGroup',
  'fsGroup',
  'gracePeriodSeconds',
  'terminationGracePeriodSeconds',
  'storageClassName',
  'minAvailable',
  'maxUnavailable',
  'maxSurge',
  'backoffLimit',
  'completions',
  'parallelism',
  'revisionHistoryLimit',
  'value',
  'averageUtilization',
  'ttlSecondsAfterFinished',
  'partition',
  'minReplicas',
  'exitCode',
  'defaultMode',
  'mode',
  'suspend',
]);

/** Whether a body is in Kubernetes' protobuf form. */
export function isKubernetesProtobuf(data: Buffer): boolean {
  return data.subarray(0, 4).equals(MAGIC);
}

/** What the envelope of a protobuf body says. */
export interface ProtobufEnvelope {
  readonly apiVersion: string;
  readonly kind: string;
  readonly raw: Buffer;
}

/** Opens the envelope: `Unknown{1: TypeMeta{1 apiVersion, 2 kind}, 2 raw}` after four bytes of magic. */
export function decodeEnvelope(data: Buffer): ProtobufEnvelope {
  if (!isKubernetesProtobuf(data)) throw new RangeError('the body does not begin with k8s\\0');
  const parts = new Map([...readFields(data.subarray(4))].map(({ number, value }) => [number, bytesOf(value)]));
  const typeMeta = new Map(
    [...readFields(parts.get(1) ?? Buffer.alloc(0))].map(({ number, value }) => [
      number,
      bytesOf(value).toString('utf8'),
    ]),
  );
  return { apiVersion: typeMeta.get(1) ?? '', kind: typeMeta.get(2) ?? '', raw: parts.get(2) ?? Buffer.alloc(0) };
}

/**
 * Decodes a body of a kind of the table into the object that its JSON form would give.
 *
 * @throws RangeError when the bytes are not such a message.
 */
export function decodeKubernetesProtobuf(
  table: FieldTable,
  messageName: string,
  envelope: ProtobufEnvelope,
): JsonObject {
  const object = dropEmpty(decodeMessage(table, messageName, envelope.raw)) as JsonObject;
  return { apiVersion: envelope.apiVersion, kind: envelope.kind, ...object };
}
