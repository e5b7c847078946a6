import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planPod } from './pod-plan.ts';
import type { ContainerRecord, ContainerRole, PodRecord } from './pod-records.ts';

type State = 'new' | 'running' | 'started' | { readonly exitCode: number; readonly retryAtMs?: number };

function container(name: string, role: ContainerRole, state: State): ContainerRecord {
  const base = { name, role, startCount: 0, failureCount: 0, retryAtMs: 0 };
  if (state === 'new') return base;
  if (state === 'running' || state === 'started') {
    const run = {
      key: name,
      pid: 1,
      startedMs: 0,
      env: {},
      workingDir: '/',
      started: state === 'started',
      ready: false,
    };
    return { ...base, run };
  }
  const end = { key: name, exitCode: state.exitCode, reason: '', startedMs: 0, finishedMs: 0 };
  return { ...base, retryAtMs: state.retryAtMs ?? 0, end };
}

function plan(
  containers: readonly ContainerRecord[],
  {
    restartPolicy = 'Always',
    initialized = false,
  }: { restartPolicy?: 'Always' | 'OnFailure' | 'Never'; initialized?: boolean } = {},
) {
  const record: PodRecord = {
    uid: 'u',
    namespace: 'n',
    name: 'p',
    ip: '',
    startedMs: 0,
    initialized,
    containers: [...containers],
  };
  return planPod({ record, restartPolicy, nowMs: 1000 });
}

test('planPod runs init containers one after the other, then all apps', () => {
  const init = (first: State, second: State) => [
    container('first', 'init', first),
    container('second', 'init', second),
    container('a', 'app', 'new'),
    container('b', 'app', 'new'),
  ];
  assert.deepEqual(plan(init('new', 'new')), { start: ['first'] });
  assert.deepEqual(plan(init('running', 'new')), { start: [] });
  assert.deepEqual(plan(init({ exitCode: 0 }, 'new')), { start: ['second'] });
  assert.deepEqual(plan(init({ exitCode: 0 }, { exitCode: 0 })), { start: ['a', 'b'] });
});

test('planPod waits for a sidecar to have started, and restarts it beside running apps', () => {
  const pod = (sidecar: State, app: State) => [container('proxy', 'sidecar', sidecar), container('app', 'app', app)];
  assert.deepEqual(plan(pod('new', 'new')), { start: ['proxy'] });
  assert.deepEqual(plan(pod('running', 'new')), { start: [] });
  assert.deepEqual(plan(pod('started', 'new')), { start: ['app'] });
  assert.deepEqual(plan(pod({ exitCode: 1 }, 'running'), { initialized: true }), { start: ['proxy'] });
});

test('planPod restarts ended containers as the policy says', () => {
  const ended = (exitCode: number) => [container('app', 'app', { exitCode })];
  const options = (restartPolicy: 'Always' | 'OnFailure' | 'Never') => ({ restartPolicy, initialized: true });
  assert.deepEqual(plan(ended(0), options('Always')), { start: ['app'] });
  assert.deepEqual(plan(ended(1), options('OnFailure')), { start: ['app'] });
  assert.deepEqual(plan(ended(0), options('OnFailure')), { start: [], finished: 'Succeeded' });
  assert.deepEqual(plan(ended(1), options('Never')), { start: [], finished: 'Failed' });
});

test('planPod fails a pod whose init container failed and may not run again', () => {
  const pod = [container('init', 'init', { exitCode: 2 }), container('app', 'app', 'new')];
  assert.deepEqual(plan(pod, { restartPolicy: 'Never' }), { start: [], finished: 'Failed' });
  assert.deepEqual(plan(pod), { start: ['init'] });
});

test('planPod names the moment at which a back-off ends', () => {
  const pod = [
    container('a', 'app', { exitCode: 1, retryAtMs: 5000 }),
    container('b', 'app', { exitCode: 1, retryAtMs: 3000 }),
    container('c', 'app', { exitCode: 1, retryAtMs: 1000 }),
  ];
  assert.deepEqual(plan(pod, { initialized: true }), { start: ['c'], wakeAtMs: 3000 });
});
