import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namesHost, parseSubjectAltNames } from './subject-alt-names.ts';

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

test('a certificate is for a host that it names, by a wildcard for one label only', () => {
  const names = parseSubjectAltNames(
    'DNS:a.example.com, DNS:*.wild.example.com, DNS:*.com, IP Address:10.0.0.1, URI:u',
  );
  const cases = [
    ['a.example.com', true],
    ['A.Example.com', true],
    ['b.example.com', false],
    ['x.wild.example.com', true],
    ['x.y.wild.example.com', false],
    ['wild.example.com', false],
    ['.wild.example.com', false],
    ['example.com', false],
    ['10.0.0.1', true],
    ['10.0.0.2', false],
    ['u', false],
    ['', false],
  ] as const;
  for (const [host, wanted] of cases) assert.equal(names !== undefined && namesHost(names, host), wanted, host);
});
