import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCidr } from '../environment/cidr.ts';
import { applicationAddress, podHalf, toLoopbackCidr } from './loopback-addresses.ts';

function moved(text: string): string | undefined {
  const cidr = parseCidr(text);
  assert.ok(cidr !== undefined);
  return toLoopbackCidr(cidr)?.text;
}

test('ranges move into 127.0.0.0/8 by their first number', () => {
  assert.equal(moved('10.11.0.0/16'), '127.11.0.0/16');
  assert.equal(moved('192.168.4.0/24'), '127.168.4.0/24');
});

test("ranges that would take in the machine's own addresses have no place", () => {
  for (const range of ['10.0.0.0/16', '10.1.1.0/24', '10.0.0.0/8', '172.0.0.0/12'])
    assert.equal(moved(range), undefined);
});

test('an application has the address as far into the second half as its pod is into the first', () => {
  assert.equal(podHalf('127.11.0.0/16'), '127.11.0.0/17');
  assert.equal(applicationAddress('127.11.1.5', '127.11.0.0/16'), '127.11.129.5');
  assert.equal(applicationAddress('127.11.4.9', '127.11.4.0/24'), '127.11.4.137');
  assert.throws(() => applicationAddress('127.12.1.5', '127.11.0.0/16'), /not in the first half of 127\.11\.0\.0\/16/);
});
