import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '@meltemi/base';
import { Registry } from 'prom-client';
import { createConfigStore } from '../config-store.ts';
import { createGalleyMetrics } from '../metrics.ts';
import type { AdmissionRequest, AdmissionResponse } from './admission-review.ts';
import { admitConfig, type ValidatingWebhookOptions } from './validating-webhook.ts';

const STORE = createConfigStore({ log: silentLog });

function review(
  spec: unknown,
  options: Partial<ValidatingWebhookOptions & AdmissionRequest & { extra: object }> = {},
): AdmissionResponse {
  const object = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'v' },
    spec,
    ...options.extra,
  };
  const kind = { group: 'networking.istio.io', version: 'v1', kind: 'VirtualService' };
  const { operation = 'CREATE' } = options;
  return admitConfig({ uid: 'u1', operation, kind, namespace: 'app1', object }, { store: STORE, ...options });
}

test('GALLEY-02 a VirtualService with weight sum 0 is denied with a field message and counted', async () => {
  const registry = new Registry();
  const route = [
    { destination: { host: 'a' }, weight: 0 },
    { destination: { host: 'b' }, weight: 0 },
  ];
  const response = review({ hosts: ['a'], http: [{ route }] }, { metrics: createGalleyMetrics(registry) });
  assert.equal(response.allowed, false);
  assert.match(response.status?.message ?? '', /spec\.http\[0\]\.route: weights sum to 0/);
  assert.match(await registry.metrics(), /galley_validation_failed\{[^}]*reason="invalid_resource"\} 1/);
});

test('GALLEY-04 an unknown top-level field is denied', () => {
  const response = review({ hosts: ['a'], http: [] }, { extra: { spek: {} } });
  assert.equal(response.allowed, false);
  assert.match(response.status?.message ?? '', /spek: unknown field; did you mean spec\?/);
});

test('admission allows DELETE whatever the object', () => {
  assert.deepEqual(review({ hosts: [] }, { operation: 'DELETE' }), { uid: 'u1', allowed: true });
});

test('admission warns of a subset that no DestinationRule defines', () => {
  const response = review({ hosts: ['a'], http: [{ route: [{ destination: { host: 'a', subset: 'v9' } }] }] });
  assert.equal(response.allowed, true);
  assert.match(
    response.warnings?.[0] ?? '',
    /^IST0101 spec\.http\[0\]\.route\[0\]\.destination\.subset: subset "v9" of a\.app1\.svc/,
  );
});

test('admission names the fields that have no effect yet', () => {
  const route = [{ destination: { host: 'a' } }];
  const spec = {
    hosts: ['a'],
    http: [{ route, corsPolicy: { maxAge: '1s' }, match: [{ headers: { x: { exact: 'y' } } }] }],
  };
  const unimplemented = (kind: string): readonly string[] => (kind === 'VirtualService' ? ['http[0].corsPolicy'] : []);
  assert.deepEqual(review(spec, { unimplemented }).warnings, [
    'MELTEMI-UNIMPLEMENTED VirtualService.http[0].corsPolicy: accepted, but has no effect yet',
  ]);
});
