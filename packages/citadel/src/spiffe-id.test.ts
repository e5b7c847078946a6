import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatSpiffeId, normalizeTrustDomain, parseSpiffeId } from './spiffe-id.ts';

test('a workload identity survives a round trip', () => {
  const id = { trustDomain: 'cluster.local', namespace: 'app1', serviceAccount: 'sleep' };
  const parsed = parseSpiffeId(formatSpiffeId(id));
  assert.ok(parsed.ok);
  assert.deepEqual(parsed.value, id);
  assert.equal(normalizeTrustDomain('me@project'), 'me.project');
});

test('anything but five well-formed segments is refused', () => {
  const bad = [
    '',
    'https://cluster.local/ns/a/sa/b',
    'spiffe://cluster.local/ns/a/sa',
    'spiffe://cluster.local/ns/a/sa/b/c',
    'spiffe://cluster.local/ns//sa/b',
    'spiffe://cluster.local/ns/../sa/b',
    'spiffe://Cluster.local/ns/a/sa/b',
    'spiffe://cluster.local:80/ns/a/sa/b',
    'spiffe:///ns/a/sa/b',
    'spiffe://cluster.local/ns/a/sa/b?x',
    'spiffe://cluster.local/ns/a%2f/sa/b',
    `spiffe://cluster.local/ns/a/sa/${'b'.repeat(2048)}`,
  ];
  for (const text of bad) assert.equal(parseSpiffeId(text).ok, false, text.slice(0, 60));
});
