import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  DER_TAG,
  derInteger,
  derObjectIdentifier,
  derSequence,
  derTime,
  encodeDer,
  formatObjectIdentifier,
  readDerChildren,
  readDerElements,
} from './der.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('derInteger drops leading zeros and keeps the number positive', () => {
  assert.equal(hex(derInteger(Uint8Array.of(0, 0, 0x7f))), '02017f');
  assert.equal(hex(derInteger(Uint8Array.of(0x80))), '02020080');
  assert.equal(hex(derInteger(new Uint8Array(0))), '020100');
});

test('object identifiers survive a round trip', () => {
  for (const dotted of ['1.2.840.10045.4.3.2', '2.5.29.17', '1.3.6.1.5.5.7.3.1', '2.16.840.1.101.3.4.2.1']) {
    const encoded = derObjectIdentifier(dotted);
    assert.equal(formatObjectIdentifier(encoded.subarray(2)), dotted);
  }
});

test('derTime changes from UTCTime to GeneralizedTime in 2050', () => {
  assert.equal(Buffer.from(derTime(Date.UTC(2049, 11, 31, 23, 59, 59, 999)).subarray(2)).toString(), '491231235959Z');
  assert.equal(derTime(Date.UTC(2049, 11, 31))[0], DER_TAG.utcTime);
  assert.equal(derTime(Date.UTC(2050, 0, 1))[0], DER_TAG.generalizedTime);
});

test('elements longer than 127 bytes survive a round trip', () => {
  const long = encodeDer(DER_TAG.octetString, new Uint8Array(70_000).fill(7));
  const children = readDerChildren(derSequence(long, derInteger(Uint8Array.of(1))), DER_TAG.sequence);
  assert.ok(children.ok);
  assert.deepEqual(
    children.value.map((child) => [child.tag, child.content.length]),
    [
      [DER_TAG.octetString, 70_000],
      [DER_TAG.integer, 1],
    ],
  );
});

test('readDerElements refuses what is cut short, indefinite or not minimal', () => {
  for (const bytes of [
    [0x30],
    [0x30, 0x05, 0x02],
    [0x30, 0x80, 0, 0],
    [0x30, 0x81, 0x05],
    [0x30, 0x85, 1, 1, 1, 1, 1],
    [0x1f, 1, 0],
  ]) {
    assert.equal(readDerElements(Uint8Array.from(bytes)).ok, false, hex(Uint8Array.from(bytes)));
  }
});
