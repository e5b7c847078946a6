import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '@meltemi/kube';
import { inject, POD, proxyOf, withAnnotations, withSpec } from './testing/pods.ts';

const OBSTINATE = { toString: 1, valueOf: 1 };

function forged(status: unknown, overrides: unknown): Pod {
  return withAnnotations({
    'sidecar.istio.io/status': JSON.stringify(status),
    'proxy.istio.io/overrides': JSON.stringify(overrides),
  });
}

test('a status or overrides that no injection wrote count as absent', () => {
  const expected = inject(POD);
  for (const status of [{}, { containers: 5, volumes: [null, 5, OBSTINATE], imagePullSecrets: 'a' }]) {
    for (const overrides of [5, { containers: 5 }, { containers: [null], initContainers: [5, {}, { name: 5 }] }]) {
      assert.deepEqual(inject(forged(status, overrides)), expected, JSON.stringify([status, overrides]));
    }
  }
});

test('forged overrides whose members have the wrong shape count as absent', () => {
  const expected = inject(POD);
  const wrong = [
    { env: 5 },
    { env: [null] },
    { ports: [null] },
    { args: [5] },
    { volumeMounts: {} },
    { lifecycle: null },
    { lifecycle: { preStop: 5 } },
    { securityContext: null },
    { readinessProbe: { httpGet: { port: OBSTINATE } } },
    { livenessProbe: { tcpSocket: null } },
  ];
  for (const members of wrong) {
    const containers = [{ name: 'istio-proxy', ...members }];
    assert.deepEqual(inject(forged({}, { containers })), expected, JSON.stringify(members));
  }
});

test('saved probes and scrape annotations of the wrong shape count as absent', () => {
  const path = '/app-health/app/readyz';
  for (const probe of [null, 5, { httpGet: null }, { httpGet: { port: OBSTINATE } }, { grpc: 5 }]) {
    const pod = withSpec(
      {
        containers: [
          { name: 'app', readinessProbe: { httpGet: { path, port: 8080 } } },
          {
            name: 'istio-proxy',
            env: [
              { name: 'ISTIO_KUBE_APP_PROBERS', value: JSON.stringify({ [path]: probe }) },
              { name: 'ISTIO_PROMETHEUS_ANNOTATIONS', value: JSON.stringify({ port: OBSTINATE }) },
            ],
          },
        ],
      },
      withAnnotations({
        'sidecar.istio.io/status': '{"containers":["istio-proxy"]}',
        'prometheus.io/scrape': 'true',
        'prometheus.io/path': '/stats/prometheus',
      }),
    );
    assert.equal(proxyOf(inject(pod)).name, 'istio-proxy', JSON.stringify(probe));
  }
});
