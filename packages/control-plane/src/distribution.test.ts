import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDistributionQuery } from './distribution.ts';

function parse(query: string): ReturnType<typeof parseDistributionQuery> {
  return parseDistributionQuery(new URLSearchParams(query));
}

test('parseDistributionQuery reads the change that is asked about', () => {
  assert.deepEqual(parse('timeout=3s&resource=VirtualService/app1/v&resourceVersion=12&deleted=true'), {
    ok: true,
    value: {
      timeoutMs: 3000,
      change: {
        key: { kind: 'VirtualService', namespace: 'app1', name: 'v' },
        resourceVersion: '12',
        isDeleted: true,
      },
    },
  });
});

test('parseDistributionQuery without a resource asks for the newest snapshot', () => {
  assert.deepEqual(parse(''), { ok: true, value: { timeoutMs: 10_000 } });
});

test('parseDistributionQuery limits the wait and refuses what it cannot read', () => {
  assert.deepEqual(parse('timeout=99h'), { ok: true, value: { timeoutMs: 600_000 } });
  assert.equal(parse('timeout=ten').ok, false);
  assert.equal(parse('resource=VirtualService/v').ok, false);
});
