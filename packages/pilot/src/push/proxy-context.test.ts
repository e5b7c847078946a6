import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DiscoveryNode } from '@meltemi/xds/server';
import { fixtureSnapshot } from '../testing/mesh-fixture.ts';
import { buildProxyNode } from './proxy-context.ts';

const NODE: DiscoveryNode = {
  id: 'sidecar~10.11.0.9~p.default~default.svc.cluster.local',
  type: 'sidecar',
  ip: '10.11.0.9',
  proxyId: 'p.default',
  dnsDomain: 'default.svc.cluster.local',
  namespace: 'default',
  serviceAccount: 'app',
  clusterId: 'cluster1',
  metadata: { LABELS: { app: 'p', odd: 1 }, INSTANCE_IPS: '10.11.0.9,fd00::9', NODE_NAME: 'n' },
  locality: { region: 'r', zone: '', subzone: '' },
  userAgentName: 'envoy',
  extensions: new Set(['envoy.filters.http.router', 'istio.alpn']),
};

test('A proxy is what its node says, where the registry does not know its workload', () => {
  const node = buildProxyNode(NODE, fixtureSnapshot({}));
  assert.deepEqual(node.labels, { app: 'p' });
  assert.deepEqual(node.addresses, ['10.11.0.9', 'fd00::9']);
  assert.deepEqual([node.nodeName, node.locality.region], ['n', 'r']);
  assert.deepEqual([node.features.alpnOverride, node.features.httpStats], [true, false]);
});

test('A proxy that lists no extensions, or is our own, is trusted to have all', () => {
  for (const overrides of [{ extensions: new Set<string>() }, { userAgentName: 'meltemi' }]) {
    const { features } = buildProxyNode({ ...NODE, ...overrides }, fixtureSnapshot({}));
    assert.ok(Object.values(features).every((isOn) => isOn));
  }
});

test('An application with an address of its own is known by metadata, with the TCP ports that its pod declares', () => {
  const podPorts = JSON.stringify([
    { containerPort: 7000 },
    { containerPort: 53, protocol: 'UDP' },
    { containerPort: 80 },
  ]);
  const metadata = { ...NODE.metadata, APP_ADDRESS: '127.11.129.5', POD_PORTS: podPorts };
  const node = buildProxyNode({ ...NODE, metadata: { ...metadata, INTERCEPTION_MODE: 'NONE' } }, fixtureSnapshot({}));
  assert.deepEqual(node.application, { address: '127.11.129.5', ports: [80, 7000] });
  assert.equal(buildProxyNode({ ...NODE, metadata }, fixtureSnapshot({})).application, undefined);
  const broken = { ...metadata, INTERCEPTION_MODE: 'NONE', POD_PORTS: '{' };
  assert.deepEqual(buildProxyNode({ ...NODE, metadata: broken }, fixtureSnapshot({})).application?.ports, []);
});
