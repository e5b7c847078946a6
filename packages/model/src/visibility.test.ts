import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isVisibleTo, resolveVisibility } from './visibility.ts';

test('exportTo says who may see an object', () => {
  const seenBy = (exportTo: readonly string[] | undefined, namespace: string, defaults?: readonly string[]) =>
    isVisibleTo(resolveVisibility(exportTo, 'own', defaults), namespace);
  assert.ok(seenBy(undefined, 'other'));
  assert.ok(seenBy(['.', '*'], 'other'));
  assert.ok(seenBy(['.'], 'own') && !seenBy(['.'], 'other'));
  assert.ok(!seenBy(['~'], 'own'));
  assert.ok(!seenBy(['a', '~'], 'a'));
  assert.ok(seenBy(['a', 'b'], 'b') && !seenBy(['a', 'b'], 'own'));
  assert.ok(!seenBy([], 'other', ['.']) && seenBy([], 'own', ['.']));
});
