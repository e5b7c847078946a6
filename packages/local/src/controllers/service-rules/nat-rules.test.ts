import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { EndpointSlice, Service, SliceEndpoint } from '@meltemi/kube';
import { buildNatRules } from './nat-rules.ts';

function service(name: string, clusterIP: string, spec: Partial<Service['spec']> = {}): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'app1' },
    spec: { clusterIP, ports: [{ name: 'http', port: 80, targetPort: 5000, protocol: 'TCP' }], ...spec },
  };
}

function slice(serviceName: string, endpoints: readonly SliceEndpoint[], protocol = 'TCP'): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${serviceName}-1`, namespace: 'app1', labels: { 'kubernetes.io/service-name': serviceName } },
    addressType: 'IPv4',
    endpoints,
    ports: [{ name: 'http', port: 5000, protocol }],
  };
}

function endpoint(address: string, ready = true, terminating = false): SliceEndpoint {
  return { addresses: [address], conditions: { ready, serving: true, terminating } };
}

test('buildNatRules balances equally, hairpins, and refuses where there is nobody', () => {
  const rules = buildNatRules({
    services: [
      service('three', '10.111.0.30'),
      service('none', '10.111.0.40'),
      service('headless', 'None'),
      service('outside', '', { type: 'ExternalName', externalName: 'example.org' }),
      service('names', '10.111.0.50', { ports: [{ name: 'http', port: 53, protocol: 'UDP' }] }),
    ],
    slices: [
      slice('three', [endpoint('10.11.1.3'), endpoint('10.11.1.1'), endpoint('10.11.1.9', false)]),
      { ...slice('three', [endpoint('10.11.1.2')]), metadata: { ...slice('three', []).metadata, name: 'three-2' } },
      slice('headless', [endpoint('10.11.1.4')]),
      slice('names', [endpoint('10.11.1.5')], 'UDP'),
    ],
  });
  const golden = new URL('./testdata/nat-rules.txt', import.meta.url);
  if (process.env['MELTEMI_UPDATE_GOLDEN'] !== undefined) writeFileSync(golden, rules);
  assert.equal(rules, readFileSync(golden, 'utf8'));
});

test('buildNatRules uses terminating endpoints only where there is no ready one', () => {
  const rulesFor = (...endpoints: readonly SliceEndpoint[]): string =>
    buildNatRules({ services: [service('s', '10.111.0.30')], slices: [slice('s', endpoints)] });
  assert.match(rulesFor(endpoint('10.11.1.1', false, true)), /--to-destination 10\.11\.1\.1:5000/);
  const both = rulesFor(endpoint('10.11.1.1', false, true), endpoint('10.11.1.2'));
  assert.doesNotMatch(both, /10\.11\.1\.1/);
});

test('buildNatRules gives the same text whatever the order of its input', () => {
  const services = [service('a', '10.111.0.1'), service('b', '10.111.0.2')];
  const slices = [slice('a', [endpoint('10.11.1.1')]), slice('b', [endpoint('10.11.1.2')])];
  assert.equal(
    buildNatRules({ services, slices }),
    buildNatRules({ services: services.toReversed(), slices: slices.toReversed() }),
  );
});
