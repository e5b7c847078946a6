import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressAt, parseCidr } from './cidr.ts';
import { toLoopbackClusters } from './loopback-clusters.ts';
import type { ClusterSpec } from './mesh-file.ts';

function cluster(name: string, pods: string, services: string): ClusterSpec {
  const [podCidr, serviceCidr] = [parseCidr(pods), parseCidr(services)];
  assert.ok(podCidr !== undefined && serviceCidr !== undefined);
  const addresses = { nodeIp: addressAt(podCidr, 1), dnsIp: addressAt(serviceCidr, 10) };
  return { name, index: 1, podCidr, serviceCidr, ...addresses, apiPort: 0, manifests: [] };
}

test('toLoopbackClusters moves every address of a cluster', () => {
  const [moved] = toLoopbackClusters([cluster('east', '10.11.0.0/16', '10.111.0.0/16')]);
  assert.deepEqual(
    [moved?.podCidr.text, moved?.serviceCidr.text, moved?.nodeIp, moved?.dnsIp],
    ['127.11.0.0/16', '127.111.0.0/16', '127.11.0.1', '127.111.0.10'],
  );
});

test('toLoopbackClusters refuses ranges that meet after the move, naming both', () => {
  const clusters = [
    cluster('east', '10.11.0.0/16', '10.111.0.0/16'),
    cluster('west', '172.11.0.0/16', '10.112.0.0/16'),
  ];
  assert.throws(
    () => toLoopbackClusters(clusters),
    /west.*podCIDR 172\.11\.0\.0\/16 becomes 127\.11\.0\.0\/16, as does 10\.11\.0\.0\/16/,
  );
  assert.throws(() => toLoopbackClusters([cluster('east', '10.0.0.0/16', '10.111.0.0/16')]), /machine's own/);
});
