import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject } from './kube-object.ts';
import { matchesLabelSelector, parseFieldSelector, parseLabelSelector } from './selectors.ts';

function pod(labels: Record<string, string>, rest: object = {}): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'app1', uid: '', resourceVersion: '', creationTimestamp: '', labels },
    ...rest,
  };
}

test('label selectors in text form', () => {
  const table: [string, Record<string, string>, boolean][] = [
    ['', {}, true],
    ['app=sleep', { app: 'sleep' }, true],
    ['app==sleep', { app: 'other' }, false],
    ['app!=sleep', {}, true],
    ['app', { app: '' }, true],
    ['!app', { app: '' }, false],
    ['app in (sleep, wake),tier', { app: 'wake', tier: '1' }, true],
    ['app in (sleep,wake)', { app: 'dream' }, false],
    ['app notin (sleep)', {}, true],
    ['istio/multiCluster=true', { 'istio/multiCluster': 'true' }, true],
    ['a=1,b=2', { a: '1' }, false],
    ['a=', { a: '' }, true],
  ];
  for (const [text, labels, expected] of table) {
    const selector = parseLabelSelector(text);
    assert.ok(selector.ok, text);
    assert.equal(selector.value(pod(labels)), expected, `${text} on ${JSON.stringify(labels)}`);
  }
  for (const text of ['a=b=c', 'a in b', '=x', 'a,,b']) assert.equal(parseLabelSelector(text).ok, false, text);
});

test('label selectors in object form', () => {
  assert.equal(matchesLabelSelector(undefined, {}), false);
  assert.equal(matchesLabelSelector({}, {}), true);
  const selector = {
    matchLabels: { a: '1' },
    matchExpressions: [
      { key: 'b', operator: 'NotIn', values: ['2'] },
      { key: 'c', operator: 'Exists' },
    ],
  };
  assert.equal(matchesLabelSelector(selector, { a: '1', b: '3', c: '' }), true);
  assert.equal(matchesLabelSelector(selector, { a: '1', b: '2', c: '' }), false);
  assert.equal(matchesLabelSelector(selector, { a: '1', b: '3' }), false);
});

test('field selectors know the fields of their kind and refuse others', () => {
  const bound = parseFieldSelector('spec.nodeName=n1,status.phase!=Running', 'pods');
  assert.ok(bound.ok);
  assert.equal(bound.value(pod({}, { spec: { nodeName: 'n1' }, status: { phase: 'Pending' } })), true);
  assert.equal(bound.value(pod({}, { spec: { nodeName: 'n1' }, status: { phase: 'Running' } })), false);
  const unset = parseFieldSelector('spec.nodeName=', 'pods');
  assert.equal(unset.ok && unset.value(pod({})), true);
  assert.deepEqual(parseFieldSelector('spec.image=x', 'pods'), {
    ok: false,
    error: 'field label not supported: spec.image',
  });
});
