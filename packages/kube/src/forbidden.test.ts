import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KubeError } from './errors.ts';
import { findMissingRight, formatRight } from './forbidden.ts';

const refusal = (message: string, statusCode = 403): KubeError => new KubeError(message, { statusCode });

test('findMissingRight reads verb, resource and scope of a refusal, as API servers word it', () => {
  const user = 'system:serviceaccount:istio-system:istiod';
  const cases: readonly (readonly [string, string])[] = [
    [
      `Cannot list pods: pods is forbidden: User "${user}" cannot list resource "pods" in API group "" at the cluster scope`,
      'list pods',
    ],
    [
      `Cannot patch x: virtualservices.networking.istio.io "x" is forbidden: User "${user}" cannot patch resource "virtualservices/status" in API group "networking.istio.io" in the namespace "app1"`,
      'patch virtualservices.networking.istio.io/status in namespace app1',
    ],
  ];
  for (const [message, words] of cases) {
    const right = findMissingRight(refusal(message));
    assert.ok(right !== undefined);
    assert.equal(right.user, user);
    assert.equal(formatRight(right), words);
  }
});

test('findMissingRight takes no refusal by admission, and no other failure, for a missing right', () => {
  assert.equal(findMissingRight(refusal('admission webhook "x" denied the request: no')), undefined);
  assert.equal(findMissingRight(refusal('pods "x" is forbidden: exceeded quota')), undefined);
  const words = 'User "a" cannot list resource "pods" in API group "" at the cluster scope';
  assert.equal(findMissingRight(refusal(words, 500)), undefined);
  assert.equal(findMissingRight(new Error(words)), undefined);
});
