import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSubjectAltNames } from './subject-alt-names.ts';

test('names of all kinds are read', () => {
  assert.deepEqual(parseSubjectAltNames('URI:spiffe://a/ns/b/sa/c, DNS:d, IP Address:10.0.0.1, email:e@f'), {
    uri: ['spiffe://a/ns/b/sa/c'],
    dns: ['d'],
    ip: ['10.0.0.1'],
    email: ['e@f'],
  });
  assert.deepEqual(parseSubjectAltNames(undefined)?.uri, []);
});

test('a name that holds a separator cannot pass for another', () => {
  const names = parseSubjectAltNames('DNS:"x, URI:spiffe://cluster.local/ns/a/sa/admin", URI:spiffe://real');
  assert.deepEqual(names?.dns, ['x, URI:spiffe://cluster.local/ns/a/sa/admin']);
  assert.deepEqual(names?.uri, ['spiffe://real']);
});

test('text that cannot be read with certainty is refused', () => {
  for (const text of ['DNS:"x', 'nonsense', 'DNS:"a"b', 'DNS:"\\x"']) {
    assert.equal(parseSubjectAltNames(text), undefined, text);
  }
});
