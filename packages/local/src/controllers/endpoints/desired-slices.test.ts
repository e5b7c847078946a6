import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeObject, Pod, Service, ServicePort } from '@meltemi/kube';
import { desiredSlices } from './desired-slices.ts';

const NODE: NodeObject = {
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'node1', labels: { 'topology.kubernetes.io/zone': 'zone-a' } },
};

function service(ports: readonly ServicePort[], spec: Partial<Service['spec']> = {}): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'hello', namespace: 'app1', uid: 'svc-uid', labels: { app: 'hello' } },
    spec: { clusterIP: '10.111.0.7', selector: { app: 'hello' }, ports, ...spec },
  };
}

interface PodInput {
  readonly ip?: string;
  readonly isReady?: boolean;
  readonly isEnding?: boolean;
  readonly phase?: string;
  readonly httpPort?: number;
  readonly hostname?: string;
}

function pod(
  name: string,
  { ip = '10.11.1.1', isReady = true, isEnding = false, phase = 'Running', ...rest }: PodInput,
): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'app1',
      uid: `uid-${name}`,
      ...(isEnding ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
    },
    spec: {
      nodeName: 'node1',
      containers: [{ name: 'c', ports: [{ name: 'http', containerPort: rest.httpPort ?? 5000 }] }],
      ...(rest.hostname === undefined ? {} : { hostname: rest.hostname, subdomain: 'hello' }),
    },
    status: {
      phase,
      ...(ip === '' ? {} : { podIP: ip }),
      conditions: [{ type: 'Ready', status: isReady ? 'True' : 'False' }],
    },
  };
}

const HTTP: ServicePort = { name: 'http', port: 80, targetPort: 'http', protocol: 'TCP' };

function slicesOf(of: Service, ...pods: readonly Pod[]) {
  return desiredSlices({ service: of, pods, nodeOf: (name) => (name === 'node1' ? NODE : undefined) });
}

test('desiredSlices names the pod, its node and zone, and resolves the port by name', () => {
  const [slice, ...others] = slicesOf(service([HTTP]), pod('a', {}));
  assert.equal(others.length, 0);
  assert.deepEqual(slice?.ports, [{ name: 'http', port: 5000, protocol: 'TCP' }]);
  assert.deepEqual(slice?.endpoints, [
    {
      addresses: ['10.11.1.1'],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: 'node1',
      zone: 'zone-a',
      targetRef: { kind: 'Pod', name: 'a', namespace: 'app1', uid: 'uid-a' },
    },
  ]);
  assert.deepEqual(slice?.metadata.labels, {
    app: 'hello',
    'kubernetes.io/service-name': 'hello',
    'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
  });
  assert.equal(slice?.metadata.ownerReferences?.[0]?.uid, 'svc-uid');
});

test('desiredSlices tells ready, serving and terminating apart', () => {
  const pods = [
    pod('ready', {}),
    pod('starting', { isReady: false }),
    pod('ending', { isEnding: true }),
    pod('ended', { isEnding: true, isReady: false }),
  ];
  const flags = (of: Service): string[] =>
    slicesOf(of, ...pods).flatMap(({ endpoints }) =>
      (endpoints ?? []).map(({ targetRef, conditions }) => {
        const { ready, serving, terminating } = conditions ?? {};
        return `${targetRef?.name} ${ready} ${serving} ${terminating}`;
      }),
    );
  assert.deepEqual(flags(service([HTTP])), [
    'ended false false true',
    'ending false true true',
    'ready true true false',
    'starting false false false',
  ]);
  assert.ok(flags(service([HTTP], { publishNotReadyAddresses: true })).includes('starting true false false'));
});

test('desiredSlices leaves out pods without an address and pods that are over', () => {
  const [slice] = slicesOf(
    service([HTTP]),
    pod('a', { ip: '' }),
    pod('b', { phase: 'Failed' }),
    pod('c', { phase: 'Succeeded' }),
  );
  assert.deepEqual(slice?.endpoints, []);
});

test('desiredSlices makes one slice per set of resolved ports, with names that depend on nothing else', () => {
  const both = slicesOf(service([HTTP]), pod('a', {}), pod('b', { httpPort: 8080 }));
  assert.deepEqual(new Set(both.map(({ ports }) => ports?.[0]?.port)), new Set([5000, 8080]));
  const [alone] = slicesOf(service([HTTP]), pod('z', { ip: '10.11.1.9' }));
  assert.ok(both.some(({ metadata }) => metadata.name === alone?.metadata.name));
});

test('desiredSlices cuts at 100 endpoints', () => {
  const pods = Array.from({ length: 250 }, (_, index) => pod(`p${index}`, { ip: `10.11.2.${index}` }));
  const slices = slicesOf(service([HTTP]), ...pods);
  assert.deepEqual(
    slices.map(({ endpoints }) => endpoints?.length),
    [100, 100, 50],
  );
  assert.equal(new Set(slices.map(({ metadata }) => metadata.name)).size, 3);
});

test('desiredSlices of a headless service carry host names, and ports of 0 are allowed', () => {
  const headless = service([], { clusterIP: 'None' });
  const [slice] = slicesOf(headless, pod('a', { hostname: 'first' }));
  assert.equal(slice?.endpoints?.[0]?.hostname, 'first');
  assert.equal(slice?.metadata.labels?.['service.kubernetes.io/headless'], '');
  assert.deepEqual(slice?.ports, []);
});
