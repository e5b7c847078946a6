import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTrustedAccounts } from './trusted-accounts.ts';

test('parseTrustedAccounts takes accounts with blanks around them, and refuses what is none', () => {
  assert.deepEqual([...parseTrustedAccounts('')], []);
  assert.deepEqual([...parseTrustedAccounts('a/b, c/d.e ,')], ['a/b', 'c/d.e']);
  for (const text of ['a', 'a/b c/d', 'a/', '/b', 'a/b/c', 'A/b']) {
    assert.throws(() => parseTrustedAccounts(text), /is not of the form <namespace>\/<name>/);
  }
});
