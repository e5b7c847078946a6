import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLabelSelector } from './label-selector-text.ts';
import { matchLabelSelector } from './selector.ts';

test('label selectors in their URL form select as Kubernetes does', () => {
  const labels = { app: 'sleep', version: 'v1' };
  const cases: readonly (readonly [string, boolean])[] = [
    ['', true],
    ['app=sleep', true],
    ['app==sleep,version!=v2', true],
    ['app=other', false],
    ['version in (v1, v2)', true],
    ['version notin (v1)', false],
    ['tier notin (db)', true],
    ['tier!=db', true],
    ['app', true],
    ['!app', false],
    ['!tier,app in (sleep)', true],
    ['istio.io/rev', false],
  ];
  for (const [text, wanted] of cases) {
    assert.equal(matchLabelSelector({ matchExpressions: parseLabelSelector(text) }, labels), wanted, text);
  }
  assert.throws(() => parseLabelSelector('a=b=c'), /Cannot read the label selector "a=b=c"/);
});

test('matchLabelSelector selects nothing by an unknown operator', () => {
  assert.equal(matchLabelSelector({ matchExpressions: [{ key: 'a', operator: 'Near' }] }, { a: 'b' }), false);
});
