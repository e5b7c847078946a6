import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeMeshConfig, defaultMeshConfig } from './mesh-config.ts';

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
