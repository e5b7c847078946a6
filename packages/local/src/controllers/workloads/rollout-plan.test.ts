import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Deployment, IntOrString, ReplicaSet } from '@meltemi/kube';
import { planRollout, resolveBounds } from './rollout-plan.ts';

function deployment(
  replicas: number,
  maxSurge: IntOrString,
  maxUnavailable: IntOrString,
  type = 'RollingUpdate',
): Deployment {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'd' },
    spec: {
      replicas,
      selector: {},
      template: { spec: { containers: [] } },
      strategy: { type, rollingUpdate: { maxSurge, maxUnavailable } },
    },
  };
}

/** `wanted/available`, or `wanted/available/existing`. */
function replicaSet(name: string, text: string): ReplicaSet {
  const [replicas = 0, availableReplicas = 0, existing = replicas] = text.split('/').map(Number);
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: { name },
    spec: { replicas, selector: {}, template: { spec: { containers: [] } } },
    status: { availableReplicas, replicas: existing },
  };
}

function plan(of: Deployment, current: string, ...previous: readonly string[]): string {
  const state = {
    deployment: of,
    current: replicaSet('new', current),
    previous: previous.map((text, index) => replicaSet(`old${index}`, text)),
  };
  return planRollout(state)
    .map((step) => `${step.replicaSet.metadata.name}=${step.replicas}`)
    .join(' ');
}

test('planRollout grows within the surge, then shrinks only what availability allows', () => {
  const careful = deployment(3, 1, 0);
  assert.equal(plan(careful, '0/0', '3/3'), 'new=1');
  assert.equal(plan(careful, '1/0', '3/3'), '', 'waits for the new pod');
  assert.equal(plan(careful, '1/1', '3/3'), 'old0=2');
  assert.equal(plan(careful, '1/1', '2/3'), 'new=2', 'room is counted by what was asked for');
  assert.equal(plan(careful, '2/1', '2/3'), '', 'the pod being deleted is not spent twice');
  assert.equal(plan(careful, '3/3', '0/0'), '');
});

test('planRollout may first shrink when pods may be unavailable', () => {
  const quick = deployment(4, 0, 1);
  assert.equal(plan(quick, '0/0', '4/4'), 'old0=3');
  assert.equal(plan(quick, '0/0', '3/3'), 'new=1');
  assert.equal(plan(quick, '1/0', '3/3'), '');
});

test('planRollout takes pods that do not serve first, from the oldest', () => {
  const careful = deployment(3, 1, 0);
  assert.equal(plan(careful, '1/1', '1/0', '2/2'), 'old0=0');
});

test('planRollout follows a change of the number of replicas in the middle of a rollout', () => {
  assert.equal(plan(deployment(5, 1, 0), '3/3'), 'new=5');
  assert.equal(plan(deployment(1, 1, 0), '3/3'), 'new=1');
  assert.equal(plan(deployment(0, 1, 0), '0/0', '2/2'), 'old0=0');
});

test('planRollout recreates: all old pods are gone before the first new one', () => {
  const recreate = deployment(2, 0, 0, 'Recreate');
  assert.equal(plan(recreate, '0/0', '2/2'), 'old0=0');
  assert.equal(plan(recreate, '0/0', '0/1/1'), '');
  assert.equal(plan(recreate, '0/0', '0/0/0'), 'new=2');
});

test('resolveBounds rounds the surge up and unavailability down, and never lets both be 0', () => {
  assert.deepEqual(resolveBounds(deployment(3, '25%', '25%')), { maxSurge: 1, maxUnavailable: 0 });
  assert.deepEqual(resolveBounds(deployment(10, '25%', '25%')), { maxSurge: 3, maxUnavailable: 2 });
  assert.deepEqual(resolveBounds(deployment(1, 0, '25%')), { maxSurge: 0, maxUnavailable: 1 });
});
