import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '@meltemi/kube';
import { resolveField, resolveResourceField } from './downward-field.ts';

const facts = { podIp: '10.11.1.1', hostIp: '10.11.0.1', nodeName: 'node', cpuCount: 2, memoryBytes: 4 * 2 ** 30 };
const pod: Pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p', namespace: 'n', labels: { b: '2', a: 'say "1"' }, annotations: { 'x/y': 'z' } },
  spec: { containers: [{ name: 'c', resources: { limits: { cpu: '250m' }, requests: { memory: '128Mi' } } }] },
};

test('Fields of the pod are read by their paths; others are refused by name', () => {
  const read = (path: string) => {
    const result = resolveField(pod, path, facts);
    return result.ok ? result.value : result.error;
  };
  assert.equal(read('metadata.labels'), 'a="say \\"1\\""\nb="2"');
  assert.equal(read("metadata.annotations['x/y']"), 'z');
  assert.equal(read("metadata.labels['none']"), '');
  assert.equal(read('status.podIP'), '10.11.1.1');
  assert.equal(read('spec.serviceAccountName'), 'default');
  assert.match(read('spec.containers'), /Cannot read field spec\.containers/);
});

test('Resources are counted in divisors, rounded up; what has no limit has the node', () => {
  const read = (resource: string, divisor?: string) => {
    const reference = { containerName: 'c', resource, ...(divisor === undefined ? {} : { divisor }) };
    const result = resolveResourceField(pod.spec.containers, reference, facts);
    return result.ok ? result.value : result.error;
  };
  assert.equal(read('limits.cpu', '1m'), '250');
  assert.equal(read('limits.cpu'), '1');
  assert.equal(read('requests.memory', '1Mi'), '128');
  assert.equal(read('limits.memory'), String(4 * 2 ** 30));
  assert.equal(read('requests.cpu'), '0');
});
