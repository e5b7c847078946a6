import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MeltemiError, messageOf } from './errors.ts';

test('messageOf tells the causes in order, and none twice', () => {
  const cause = new Error('ENOENT: no such file');
  assert.equal(messageOf(new MeltemiError('FAILED', 'Cannot start', { cause })), 'Cannot start: ENOENT: no such file');
  const quoting = new MeltemiError('FAILED', `Cannot read x: ${cause.message}`, { cause });
  assert.equal(messageOf(quoting), 'Cannot read x: ENOENT: no such file');
  assert.equal(messageOf(new Error('outer', { cause: quoting })), 'outer: Cannot read x: ENOENT: no such file');
  assert.equal(messageOf('text'), 'text');
});
