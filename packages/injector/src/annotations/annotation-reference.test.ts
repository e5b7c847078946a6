import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { formatAnnotationReference } from '../testing/annotation-reference.ts';

const PAGE = join(import.meta.dirname, '../../../../docs/reference/annotations.md');

test('the reference page of annotations says what the tables say', () => {
  const page = formatAnnotationReference();
  if (process.env['MELTEMI_UPDATE_GOLDEN'] === '1') writeFileSync(PAGE, page);
  assert.equal(readFileSync(PAGE, 'utf8'), page, 'run npm run test:update');
});
