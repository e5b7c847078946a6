import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Container } from '@meltemi/kube';
import { restoreProbes, rewriteProbes } from './probe-rewrite.ts';

const APP: Container = {
  name: 'app',
  ports: [{ name: 'web', containerPort: 80 }, { containerPort: 81 }],
  readinessProbe: {
    httpGet: { path: '/r', port: 'web', scheme: 'HTTPS', host: 'h', httpHeaders: [{ name: 'A', value: 'b' }] },
    periodSeconds: 3,
    timeoutSeconds: 2,
  },
  livenessProbe: { tcpSocket: { port: '81' }, failureThreshold: 9 },
  startupProbe: { grpc: { port: 9000, service: 's' } },
  lifecycle: { preStop: { httpGet: { port: 80, path: 'bye' } }, postStart: { tcpSocket: { port: 'web' } } },
};

test('SEC-56 HTTP, TCP and gRPC probes and handlers become HTTP GETs of the status port; what they were is told the agent', () => {
  const { containers, probes } = rewriteProbes([APP], 15_020);
  const agent = (path: string) => ({ path, port: 15_020, scheme: 'HTTP' });
  assert.deepEqual(containers[0], {
    ...APP,
    readinessProbe: {
      httpGet: { ...agent('/app-health/app/readyz'), host: 'h', httpHeaders: [{ name: 'A', value: 'b' }] },
      periodSeconds: 3,
      timeoutSeconds: 2,
    },
    livenessProbe: { httpGet: agent('/app-health/app/livez'), failureThreshold: 9 },
    startupProbe: { httpGet: agent('/app-health/app/startupz') },
    lifecycle: {
      preStop: { httpGet: agent('/app-lifecycle/app/prestopz') },
      postStart: { httpGet: agent('/app-lifecycle/app/poststartz') },
    },
  });
  assert.deepEqual(probes, {
    '/app-health/app/readyz': {
      httpGet: { path: '/r', port: 80, scheme: 'HTTPS', host: 'h', httpHeaders: [{ name: 'A', value: 'b' }] },
      timeoutSeconds: 2,
    },
    '/app-health/app/livez': { tcpSocket: { port: 81 } },
    '/app-health/app/startupz': { grpc: { port: 9000, service: 's' } },
    '/app-lifecycle/app/prestopz': { httpGet: { port: 80, path: 'bye' }, timeoutSeconds: 3600 },
    '/app-lifecycle/app/poststartz': { tcpSocket: { port: 80 }, timeoutSeconds: 3600 },
  });
});

test('probes by command, of the status port, of an unknown name of a port, and of the sidecar stay as they are', () => {
  const containers: readonly Container[] = [
    { name: 'a', readinessProbe: { exec: { command: ['true'] } }, livenessProbe: { httpGet: { port: 15_020 } } },
    {
      name: 'b',
      readinessProbe: { tcpSocket: { port: 'nope' } },
      lifecycle: { preStop: { exec: { command: ['x'] } } },
    },
    { name: 'istio-proxy', readinessProbe: { httpGet: { port: 15_021 } } },
  ];
  const rewritten = rewriteProbes(containers, 15_020);
  assert.deepEqual(rewritten, { containers, probes: {} });
});

test('what was rewritten can be restored, with numbers for the names of ports', () => {
  const { containers, probes } = rewriteProbes([APP], 15_020);
  const [restored] = restoreProbes(containers, probes);
  assert.deepEqual(restored?.startupProbe, APP.startupProbe);
  assert.deepEqual(restored?.readinessProbe, {
    ...APP.readinessProbe,
    httpGet: { ...APP.readinessProbe?.httpGet, port: 80 },
  });
  assert.deepEqual(restored?.lifecycle?.preStop, APP.lifecycle?.preStop);
  assert.deepEqual(rewriteProbes([restored as Container], 15_020), { containers, probes });
});
