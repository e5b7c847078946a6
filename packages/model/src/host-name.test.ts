import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSubsetOfHost, matchHosts, mostSpecificHost, resolveShortName } from './host-name.ts';

test('Host patterns match by suffix, in both directions', () => {
  assert.ok(matchHosts('*.com', 'foo.com'));
  assert.ok(matchHosts('foo.com', '*.com'));
  assert.ok(!matchHosts('*.foo.com', 'foo.com'));
  assert.ok(matchHosts('*', 'anything'));
  assert.ok(matchHosts('*.foo.com', '*.com'));
  assert.ok(!matchHosts('*.foo.com', '*.bar.com'));
  assert.ok(!matchHosts('a.com', 'b.com'));
});

test('A host is a subset of wildcards over it, and only one way', () => {
  assert.ok(isSubsetOfHost('a.foo.com', '*.foo.com'));
  assert.ok(isSubsetOfHost('*.foo.com', '*.com'));
  assert.ok(!isSubsetOfHost('*.com', '*.foo.com'));
});

test('The most specific pattern is the exact one, then the longest wildcard', () => {
  const patterns = ['*', '*.com', '*.foo.com', 'a.foo.com'];
  assert.equal(mostSpecificHost(patterns, 'a.foo.com'), 'a.foo.com');
  assert.equal(mostSpecificHost(patterns, 'b.foo.com'), '*.foo.com');
  assert.equal(mostSpecificHost(patterns, 'b.org'), '*');
  assert.equal(mostSpecificHost(['x.org'], 'b.org'), undefined);
});

test('Only a name without a dot is completed', () => {
  assert.equal(resolveShortName('reviews', 'default', 'cluster.local'), 'reviews.default.svc.cluster.local');
  for (const host of ['reviews.default', '*', '10.0.0.1', '::1'])
    assert.equal(resolveShortName(host, 'default', 'cluster.local'), host);
});
