import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '@meltemi/kube';
import { describePod } from './describe-pod.ts';

const POD: Pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: 'sleep-1',
    namespace: 'app1',
    labels: { version: 'v1', app: 'sleep' },
    ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'sleep', uid: 'u', controller: true }],
  },
  spec: {
    nodeName: 'node1',
    containers: [
      {
        name: 'app',
        image: 'sleep',
        readinessProbe: { httpGet: { port: 8080, path: '/ready' }, periodSeconds: 1 },
        env: [
          { name: 'A', value: 'b' },
          { name: 'KEY', valueFrom: { secretKeyRef: { name: 'secret', key: 'key' } } },
        ],
        volumeMounts: [{ name: 'data', mountPath: '/data', readOnly: true }],
      },
    ],
    volumes: [{ name: 'data', emptyDir: { medium: 'Memory' } }],
  },
  status: {
    phase: 'Running',
    startTime: '2026-01-01T00:00:00Z',
    podIP: '10.0.0.1',
    hostIP: '10.0.0.2',
    conditions: [{ type: 'Ready', status: 'False', reason: 'ContainersNotReady', message: 'app is not ready' }],
    containerStatuses: [
      {
        name: 'app',
        ready: false,
        restartCount: 3,
        image: 'sleep',
        imageID: '',
        state: { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 4s' } },
        lastState: { terminated: { exitCode: 137, signal: 9, reason: 'Error', finishedAt: '2026-01-01T00:00:30Z' } },
      },
    ],
  },
};

test('describePod shows why a container does not run, and how its last run ended', () => {
  const text = describePod(POD, Date.parse('2026-01-01T00:01:00Z'));
  for (const line of [
    /^Node: +node1\/10\.0\.0\.2$/m,
    /^Start Time: +2026-01-01T00:00:00Z \(60s ago\)$/m,
    /^Labels: +app=sleep\n +version=v1$/m,
    /^Controlled By: +ReplicaSet\/sleep$/m,
    /^ {4}State: +Waiting\n +Reason: +CrashLoopBackOff\n +Message: +back-off 4s$/m,
    /^ {4}Last State: +Terminated\n +Reason: +Error\n +Exit Code: +137 \(signal 9\)$/m,
    /^ {4}Restart Count: +3$/m,
    /^ {4}Readiness: +http-get http:\/\/:8080\/ready delay=0s timeout=1s period=1s/m,
    /^ {4}Environment: +A=b\n +KEY \(key key of Secret secret\)$/m,
    /^ {4}Mounts: +\/data from data \(ro\)$/m,
    /^ {2}Ready +False +ContainersNotReady: app is not ready$/m,
    /^ {2}data: EmptyDir in Memory$/m,
  ])
    assert.match(text, line);
});

test('describePod tells a pod that is ending from one that runs', () => {
  const pod = { ...POD, metadata: { ...POD.metadata, deletionTimestamp: '2026-01-01T00:00:50Z' } };
  assert.match(describePod(pod, Date.parse('2026-01-01T00:01:00Z')), /^Status: +Terminating \(since 10s\)$/m);
});
