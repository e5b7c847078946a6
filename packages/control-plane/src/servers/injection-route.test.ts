import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog, systemClock } from '@meltemi/base';
import { createInjectHandler, DEFAULT_INJECTOR_CONFIG } from '@meltemi/injector';
import { Registry } from 'prom-client';
import { createInjectionMetrics } from './injection-metrics.ts';
import { createInjectionRoute } from './injection-route.ts';

test('calls about pods are counted by how they end, and timed', async () => {
  const registry = new Registry();
  const handler = createInjectHandler({
    config: () => DEFAULT_INJECTOR_CONFIG,
    nativeSidecars: () => false,
    namespaceAnnotations: () => undefined,
    log: silentLog,
  });
  const route = createInjectionRoute({ handler, metrics: createInjectionMetrics(registry), clock: systemClock });
  const ask = (metadata: object, path = '/inject') => {
    const object = { metadata, spec: { containers: [{ name: 'a' }] } };
    const body = { request: { uid: 'u', namespace: 'app1', object } };
    return route({ path, body } as Parameters<typeof route>[0]);
  };
  await ask({ name: 'a' }, '/inject?timeout=10s');
  await ask({ name: 'b', labels: { 'sidecar.istio.io/inject': 'false' } });
  await ask({ name: 'c', annotations: { 'sidecar.istio.io/proxyCPU': 'much' } });
  await ask({ name: 'd' }, '/inject/no-variable/x');
  assert.equal(ask({ name: 'e' }, '/validate'), undefined);
  const text = await registry.metrics();
  const expected = { requests: 4, success: 1, skip: 1, failure: 2 };
  for (const [name, count] of Object.entries(expected))
    assert.match(text, new RegExp(`^sidecar_injection_${name}_total ${count}$`, 'm'));
  assert.match(text, /^sidecar_injection_time_seconds_count 4$/m);
});
