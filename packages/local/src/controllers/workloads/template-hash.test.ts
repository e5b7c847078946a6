import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PodTemplate } from '@meltemi/kube';
import { TEMPLATE_HASH_LABEL, templateHash } from './template-hash.ts';

const TEMPLATE: PodTemplate = {
  metadata: { labels: { app: 'a' } },
  spec: { containers: [{ name: 'c', image: 'v1' }] },
};

test('templateHash is the same for templates that mean the same', () => {
  const rewritten = {
    spec: { securityContext: {}, containers: [{ image: 'v1', name: 'c', resources: {}, env: [] }] },
    metadata: { labels: { [TEMPLATE_HASH_LABEL]: 'old', app: 'a' }, creationTimestamp: null },
  } as unknown as PodTemplate;
  assert.equal(templateHash(rewritten), templateHash(TEMPLATE));
});

test('templateHash differs for another image, label or empty value of an environment variable', () => {
  const container = TEMPLATE.spec.containers[0] as PodTemplate['spec']['containers'][0];
  const others: readonly PodTemplate[] = [
    { ...TEMPLATE, spec: { containers: [{ ...container, image: 'v2' }] } },
    { ...TEMPLATE, metadata: { labels: { app: 'b' } } },
    { ...TEMPLATE, spec: { containers: [{ ...container, env: [{ name: 'X', value: '' }] }] } },
  ];
  const hashes = new Set([TEMPLATE, ...others].map(templateHash));
  assert.equal(hashes.size, 4);
  assert.match(templateHash(TEMPLATE), /^[bcdfghjklmnpqrstvwxz2456789]{10}$/);
});
