import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConfigMap, Deployment, Service } from '@meltemi/kube';
import { FakeKubeClient } from '@meltemi/kube/testing';
import type { SessionCluster } from '../session.ts';
import type { PrecheckFinding } from './finding.ts';
import { checkMeshIdentity } from './mesh-identity-checks.ts';
import { checkGatewayAddresses, gatewaysOf } from './probe/gateways.ts';
import { parseTcpPeers } from './probe/probe-point.ts';
import { reachCluster } from './reach-cluster.ts';
import { factsOf } from './testing/cluster-facts.ts';
import { checkVersions } from './version-checks.ts';

function told(check: (findings: PrecheckFinding[]) => void): string[] {
  const findings: PrecheckFinding[] = [];
  check(findings);
  return findings.map(({ level, subject, message }) => `${level} ${subject}: ${message}`);
}

test('MC-42 2 versions that are too old, unreadable, or far apart are named', () => {
  const clusters = [factsOf('a', { version: 'v1.26.1' }), factsOf('b', { version: 'v1.34.0' })];
  assert.deepEqual(
    told((findings) => checkVersions(clusters, findings)),
    [
      'error a: Kubernetes v1.26.1 is older than 1.27, the oldest that is supported',
      'pass b: Kubernetes v1.34.0 is supported',
      'warning a, b: Kubernetes v1.26.1 and v1.34.0 are 8 minor versions apart',
    ],
  );
  assert.match(
    told((findings) => checkVersions([factsOf('a', { version: 'x' })], findings)).join(),
    /^warning a: its version "x" cannot be read/,
  );
});

test('MC-42 1 6 a cluster that does not answer, or whose clock is off, is named', async () => {
  const reach = async (client: FakeKubeClient): Promise<string> => {
    const findings: PrecheckFinding[] = [];
    const cluster: SessionCluster = { name: 'a', client, access: { name: 'a', server: 'https://a', credentials: {} } };
    await reachCluster(cluster, () => Date.UTC(2026, 0, 1), findings);
    return findings.map(({ level, message }) => `${level}: ${message}`).join('; ');
  };
  const answering = (date: string): FakeKubeClient => {
    const client = new FakeKubeClient();
    client.onRequest = () => ({ status: 200, headers: { date }, body: '{"gitVersion":"v1.34.0"}' });
    return client;
  };
  assert.match(await reach(answering('Thu, 01 Jan 2026 00:00:00 GMT')), /^pass: .*; pass: its clock agrees/);
  assert.match(await reach(answering('Thu, 01 Jan 2026 00:05:00 GMT')), /error: its clock is 301 s ahead/);
  assert.match(await reach(answering('Wed, 31 Dec 2025 23:59:50 GMT')), /warning: its clock is 10 s behind/);
  const silent = new FakeKubeClient();
  silent.onRequest = () => {
    throw new Error('connect ECONNREFUSED');
  };
  assert.match(await reach(silent), /^error: connect ECONNREFUSED/);
});

function controlPlane(env: Readonly<Record<string, string>>): Deployment {
  const entries = Object.entries(env).map(([name, value]) => ({ name, value }));
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'istiod' },
    spec: {
      selector: {},
      template: { spec: { containers: [{ name: 'discovery', image: 'x', env: entries }] } },
    },
  };
}

function meshConfig(mesh: string): ConfigMap {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'istio' }, data: { mesh } };
}

test('MC-42 7 two control planes that disagree about the mesh, and a namespace that is missing, are named', () => {
  const system = [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'istio-system' } }];
  const first = factsOf('a', {
    namespaces: system,
    controlPlane: controlPlane({}),
    meshConfig: meshConfig('trustDomain: one'),
  });
  const second = factsOf('b', {
    controlPlane: controlPlane({ DOMAIN_SUFFIX: 'other.local' }),
    meshConfig: meshConfig('trustDomain: two\ndefaultConfig: {meshId: one}'),
    pods: [
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'istiod-1', namespace: 'mesh', labels: { app: 'istiod' } },
        spec: { containers: [] },
      },
    ],
  });
  assert.deepEqual(
    told((findings) => checkMeshIdentity([first, second], findings)),
    [
      'error b: a control plane runs in namespace mesh, not in istio-system',
      'error b: it has no namespace istio-system, where the reader account and the network label belong',
      'error a, b: their trust domain differs: one and two',
      'pass a, b: their mesh ID is one',
      'error a, b: their domain suffix differs: cluster.local and other.local',
    ],
  );
});

function gateway(spec: object, labels: Readonly<Record<string, string>>, ingress: object[] = []): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'gw', namespace: 'istio-system', labels },
    spec: { ports: [{ port: 15443 }], ...spec },
    status: { loadBalancer: { ingress } },
  };
}

test('MC-42 5 gateways are found by label, port and external address, and what is missing of them is named', () => {
  const label = { 'topology.istio.io/network': 'n1' };
  const other = factsOf('b', {
    network: 'n2',
    services: [gateway({ externalIPs: ['192.0.2.7'] }, { istio: 'eastwestgateway' })],
  });
  const check = (service: Service): string =>
    told((findings) =>
      checkGatewayAddresses([factsOf('a', { network: 'n1', services: [service] }), other], findings),
    )[0] ?? '';
  assert.match(check(gateway({}, label, [{ hostname: 'lb.example' }])), /^pass a: .*lb\.example:15443/);
  assert.match(check(gateway({}, label)), /^error a: its gateway istio-system\/gw has no external address/);
  assert.match(check(gateway({ ports: [{ port: 443 }] }, label)), /^error a: its gateway .* has no port 15443/);
  assert.match(check(gateway({}, { 'topology.istio.io/network': 'n9' })), /^error a: no Service is a gateway/);
  const own = gateway({ ports: [{ port: 31443 }] }, { ...label, 'networking.istio.io/gatewayPort': '31443' }, [
    { ip: '192.0.2.8' },
  ]);
  assert.deepEqual(gatewaysOf(factsOf('a', { network: 'n1', services: [own] })), [
    { address: '192.0.2.8', port: 31443 },
  ]);
});

test('parseTcpPeers reads who is connected to a port, over IPv4 and IPv4 in IPv6', () => {
  const text = `  sl  local_address rem_address   st
   0: 00000000:3AAD 00000000:0000 0A 0
   1: 01010C0A:3AAD 03010B0A:9844 01 0
   2: 01010C0A:3AAD 01000C0A:9845 06 0
   3: 01010C0A:3AAC 05010B0A:9845 01 0
   4: 0000000000000000FFFF000001010C0A:3AAD 0000000000000000FFFF000004010B0A:E152 01 0`;
  assert.deepEqual(parseTcpPeers(text, 15021), ['10.11.1.3', '10.11.1.4']);
});
