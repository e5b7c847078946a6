import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRequestTarget } from './request-target.ts';

test('a request target is split, and its path stays as it was sent', () => {
  const pathOf = (target: string | undefined): string | undefined => parseRequestTarget(target)?.path;
  assert.equal(pathOf('/a?b=c?d'), '/a');
  assert.equal(parseRequestTarget('/a?b=c&d=%20')?.query.get('d'), ' ');
  assert.equal(parseRequestTarget('/a?b')?.search, '?b');
  for (const path of ['//', '/a/../b', '/%2e%2e/a', '/a//b', '/a;b#c']) assert.equal(pathOf(path), path);
  for (const target of ['*', 'http://x/a', 'x:80', '', undefined]) assert.equal(pathOf(target), undefined);
});
