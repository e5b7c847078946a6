import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeMeshConfig, decodeMeshNetworks, defaultMeshConfig } from './mesh-config.ts';

test('MeshConfig without members has the documented defaults', () => {
  const config = defaultMeshConfig();
  assert.equal(config.trustDomain, 'cluster.local');
  assert.equal(config.rootNamespace, 'istio-system');
  assert.equal(config.connectTimeout, '10s');
  assert.equal(config.outboundTrafficPolicy.mode, 'ALLOW_ANY');
  assert.equal(config.defaultConfig.discoveryAddress, 'istiod.istio-system.svc:15012');
  assert.equal(config.defaultConfig.gatewayTopology.numTrustedProxies, 0);
  assert.deepEqual(config.defaultServiceExportTo, ['*']);
});

test('MeshConfig keeps what is written and completes nested messages', () => {
  const { config, findings } = decodeMeshConfig({
    trust_domain: 'example.org',
    defaultConfig: { proxyMetadata: { A: 'b' } },
    localityLbSetting: { failover: [{ from: 'a', to: 'b' }] },
  });
  assert.deepEqual(findings, []);
  assert.equal(config?.trustDomain, 'example.org');
  assert.equal(config?.defaultConfig.statusPort, 15020);
  assert.deepEqual(config?.defaultConfig.proxyMetadata, { A: 'b' });
  assert.equal(config?.localityLbSetting.enabled, true);
});

test('MeshConfig with an unknown field is used, with a warning', () => {
  const { config, findings } = decodeMeshConfig({ fieldOfTomorrow: 1 });
  assert.equal(findings[0]?.severity, 'warning');
  assert.ok(config);
});

test('MeshConfig with wrong values is refused with the path of each', () => {
  const { config, findings } = decodeMeshConfig({ connectTimeout: '0s', trustDomain: '', proxyListenPort: 99999 });
  assert.equal(config, undefined);
  assert.deepEqual(findings.map((finding) => finding.path).toSorted(), [
    'connectTimeout',
    'proxyListenPort',
    'trustDomain',
  ]);
});

test('MeshNetworks keeps what is written, by either spelling', () => {
  const network1 = {
    endpoints: [{ fromRegistry: 'cluster1' }, { fromCidr: '192.168.0.0/22' }],
    gateways: [
      { registryServiceName: 'istio-eastwestgateway.istio-system.svc.cluster.local', port: 15443, locality: 'a/b' },
      { address: '192.0.2.1', port: 15443 },
    ],
  };
  const old = { endpoints: [{ from_registry: 'cluster2' }], gateways: [{ registry_service_name: 'a.b', port: 443 }] };
  const { networks, findings } = decodeMeshNetworks({ networks: { network1, network2: old, empty: {} } });
  assert.deepEqual(findings, []);
  assert.deepEqual(networks?.networks, {
    network1,
    network2: { endpoints: [{ fromRegistry: 'cluster2' }], gateways: [{ registryServiceName: 'a.b', port: 443 }] },
    empty: {},
  });
  assert.deepEqual(decodeMeshNetworks(undefined).networks, { networks: {} });
});

test('MeshNetworks with wrong values is refused with the path of each', () => {
  const { networks, findings } = decodeMeshNetworks({
    networks: {
      a: {
        endpoints: [{ fromRegistry: 'c' }, { fromCidr: '10.0.0.0/64' }, {}],
        gateways: [{ address: '-', port: 0 }, { port: 1 }],
      },
      b: { endpoints: [{ fromRegistry: 'c' }, { fromRegistry: '' }] },
    },
  });
  assert.equal(networks, undefined);
  assert.deepEqual(findings.map(({ path, message }) => `${path} ${message}`).toSorted(), [
    'networks[a].endpoints[1].fromCidr "10.0.0.0/64" is not an address or CIDR; write it as 10.0.0.0/8',
    'networks[a].endpoints[2] needs fromCidr or fromRegistry',
    'networks[a].gateways[0].address "-" is not a host name',
    'networks[a].gateways[0].port must be a port of 1 to 65535, is 0',
    'networks[a].gateways[1] needs registryServiceName or address',
    'networks[b] has the cluster "c", which is on network "a"',
    'networks[b].endpoints[1].fromRegistry is empty; name a cluster',
  ]);
  const both = decodeMeshNetworks({
    networks: { a: { gateways: [{ address: 'a', registryServiceName: 'b', port: 1 }] } },
  });
  assert.match(both.findings[0]?.message ?? '', /registryServiceName.*address/);
});
