import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createIpAllocator } from './ip-allocator.ts';

test('Addresses ascend from the second 256, go around reserved ones, and come up again late', () => {
  const addresses = createIpAllocator('10.11.0.0/16');
  assert.equal(addresses.allocate(), '10.11.1.1');
  addresses.release('10.11.1.1');
  assert.equal(addresses.allocate(), '10.11.1.2');
  addresses.reserve('10.11.1.7');
  assert.equal(addresses.allocate(), '10.11.1.8');
});

test('A full range is an error that names it, until an address is released', () => {
  const addresses = createIpAllocator('10.0.0.0/24');
  const all = new Set<string>();
  for (let count = 0; count < 238; count++) all.add(addresses.allocate());
  assert.equal(all.size, 238);
  assert.throws(() => addresses.allocate(), /all of 10\.0\.0\.0\/24 are taken/);
  addresses.release('10.0.0.100');
  assert.equal(addresses.allocate(), '10.0.0.100');
});
