import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decideInjection, INJECT_NAME } from './decision.ts';
import { inject, POD, review } from './testing/pods.ts';

const ENABLED = { policy: 'enabled', neverInjectSelectors: [], alwaysInjectSelectors: [] } as const;

test('the webhook answers by the decision, and tells the operator of a policy that does not exist', () => {
  const answer = review(POD, { policy: 'on' });
  assert.ok(answer.ok);
  assert.deepEqual(answer.value.response, { uid: 'r1', allowed: true });
  const pod = { namespace: 'app1', labels: {}, annotations: {}, spec: {} };
  assert.match(decideInjection(pod, { ...ENABLED, policy: 'on' }).problem ?? '', /"on"; it must be "enabled" or/);
  assert.ok(inject({ ...POD, metadata: { ...POD.metadata, labels: { [INJECT_NAME]: 'true' } } }, { policy: 'on' }));
});

test('an unreadable label counts as absent, with a warning', () => {
  const pod = { namespace: 'app1', labels: { [INJECT_NAME]: 'yes' }, annotations: {}, spec: {} };
  const unreadable = decideInjection(pod, ENABLED);
  assert.equal(unreadable.inject, true);
  assert.match(unreadable.warning ?? '', /"yes".*use "true" or "false"/);
});
