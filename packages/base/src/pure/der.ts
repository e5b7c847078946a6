import { err, ok, type Result } from './result.ts';

/** The DER tags that certificates and signing requests are made of (X.690, universal class unless named otherwise). */
export const DER_TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** One element of a DER document. */
export interface DerElement {
  readonly tag: number;
  /** The value, without tag and length. */
  readonly content: Uint8Array;
  /** Tag, length and value. */
  readonly raw: Uint8Array;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

function encodeLength(length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(length);
  const digits: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256);
  return Uint8Array.of(0x80 | digits.length, ...digits);
}

/** One element from its tag and the parts of its value. */
export function encodeDer(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = concat(parts);
  return concat([Uint8Array.of(tag), encodeLength(content.length), content]);
}

/** A SEQUENCE of elements that are encoded already. */
export function derSequence(...parts: readonly Uint8Array[]): Uint8Array {
  return encodeDer(DER_TAG.sequence, ...parts);
}

/** A SET of elements that are encoded already; the caller keeps DER's order when there are several. */
export function derSet(...parts: readonly Uint8Array[]): Uint8Array {
  return encodeDer(DER_TAG.set, ...parts);
}

/**
 * A non-negative INTEGER from its big-endian bytes.
 *
 * @param magnitude May have leading zeros, which are dropped; empty is zero.
 */
export function derInteger(magnitude: Uint8Array): Uint8Array {
  let start = 0;
  while (start < magnitude.length - 1 && magnitude[start] === 0) start++;
  const digits = magnitude.length === 0 ? Uint8Array.of(0) : magnitude.subarray(start);
  const padding = (digits[0] as number) >= 0x80 ? Uint8Array.of(0) : new Uint8Array(0);
  return encodeDer(DER_TAG.integer, padding, digits);
}

/** An OBJECT IDENTIFIER from its dotted text. */
export function derObjectIdentifier(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const digits = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) digits.unshift(0x80 | (left % 128));
    bytes.push(...digits);
  }
  return encodeDer(DER_TAG.objectIdentifier, Uint8Array.from(bytes));
}

/** A BIT STRING; `unusedBits` of the last byte do not count. */
export function derBitString(bytes: Uint8Array, unusedBits = 0): Uint8Array {
  return encodeDer(DER_TAG.bitString, Uint8Array.of(unusedBits), bytes);
}

/** An OCTET STRING. */
export function derOctetString(bytes: Uint8Array): Uint8Array {
  return encodeDer(DER_TAG.octetString, bytes);
}

/** The BOOLEAN `true`; DER leaves out what equals its default, so `false` is never written. */
export function derTrue(): Uint8Array {
  return encodeDer(DER_TAG.boolean, Uint8Array.of(0xff));
}

/** A UTF8String. */
export function derUtf8String(text: string): Uint8Array {
  return encodeDer(DER_TAG.utf8String, new TextEncoder().encode(text));
}

/** A point in time, whole seconds: UTCTime through 2049, GeneralizedTime after (RFC 5280 4.1.2.5). */
export function derTime(unixMs: number): Uint8Array {
  const digits = new Date(unixMs)
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replace(/[-:T]/g, '');
  const encoder = new TextEncoder();
  if (Number(digits.slice(0, 4)) >= 2050) return encodeDer(DER_TAG.generalizedTime, encoder.encode(digits));
  return encodeDer(DER_TAG.utcTime, encoder.encode(digits.slice(2)));
}

/**
 * Reads the elements that lie one after another in `bytes`. Definite lengths and one-byte tags only, as in certificates.
 *
 * @returns The elements, or what is wrong with the bytes. Values are not looked into.
 */
export function readDerElements(bytes: Uint8Array): Result<readonly DerElement[]> {
  const elements: DerElement[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    const element = readElementAt(bytes, offset);
    if (!element.ok) return element;
    elements.push(element.value);
    offset += element.value.raw.length;
  }
  return ok(elements);
}

/** Reads `bytes` as exactly one element of the given tag and returns the elements of its value. */
export function readDerChildren(bytes: Uint8Array, tag: number): Result<readonly DerElement[]> {
  const elements = readDerElements(bytes);
  if (!elements.ok) return elements;
  const [only, ...more] = elements.value;
  if (only === undefined || more.length > 0) return err('expected exactly one DER element');
  if (only.tag !== tag) return err(`expected DER tag 0x${tag.toString(16)}, found 0x${only.tag.toString(16)}`);
  return readDerElements(only.content);
}

function readElementAt(bytes: Uint8Array, offset: number): Result<DerElement> {
  const tag = bytes[offset] as number;
  if ((tag & 0x1f) === 0x1f) return err('multi-byte DER tags are not supported');
  const first = bytes[offset + 1];
  if (first === undefined) return err('the DER data ends inside a length');
  let length = first;
  let start = offset + 2;
  if (first >= 0x80) {
    const digitCount = first & 0x7f;
    if (digitCount === 0 || digitCount > 4) return err('a DER length is indefinite or too long');
    if (start + digitCount > bytes.length) return err('the DER data ends inside a length');
    length = 0;
    for (let index = 0; index < digitCount; index++) length = length * 256 + (bytes[start + index] as number);
    if (length < 0x80 || bytes[start] === 0) return err('a DER length is not in its shortest form');
    start += digitCount;
  }
  if (start + length > bytes.length) return err('the DER data ends inside a value');
  return ok({ tag, content: bytes.subarray(start, start + length), raw: bytes.subarray(offset, start + length) });
}

/** The dotted text of an OBJECT IDENTIFIER's value; arcs above 2^53 are not told apart. */
export function formatObjectIdentifier(content: Uint8Array): string {
  const arcs: number[] = [];
  let value = 0;
  for (const byte of content) {
    value = value * 128 + (byte & 0x7f);
    if (byte < 0x80) {
      arcs.push(value);
      value = 0;
    }
  }
  const [first = 0, ...rest] = arcs;
  const top = Math.min(2, Math.floor(first / 40));
  return [top, first - top * 40, ...rest].join('.');
}
