import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Endpoint, Service } from '@meltemi/model';
import { differInPorts, mergeService } from './merge-services.ts';

function service(clusterId: string, address: string, port: number): Service {
  return {
    hostname: 'a.b.svc.cluster.local',
    namespace: 'b',
    name: 'a',
    clusterVIPs: new Map([[clusterId, [address]]]),
    defaultAddress: address,
    ports: [{ name: 'http', number: port, protocol: 'http' }],
    resolution: 'ClientSideLB',
    meshExternal: false,
    exportTo: [],
    serviceAccounts: [],
    attributes: { registry: 'Kubernetes', labels: {}, creationTimestampMs: port, sourceKey: 'Service/b/a' },
  };
}

test('mergeService takes ports of the first cluster, addresses of all, accounts of all endpoints', () => {
  // Of an endpoint, merging reads the account only.
  const endpoint = (serviceAccount: string): Endpoint => ({ serviceAccount }) as Endpoint;
  const shards = new Map([
    ['c1', [endpoint('spiffe://x/ns/b/sa/one')]],
    ['c2', [endpoint('spiffe://y/ns/b/sa/two'), endpoint('')]],
  ]);
  const merged = mergeService([service('c1', '10.1.0.1', 90), service('c2', '10.2.0.1', 80)], shards);
  assert.equal(merged.ports[0]?.number, 90);
  assert.deepEqual(
    [...merged.clusterVIPs],
    [
      ['c1', ['10.1.0.1']],
      ['c2', ['10.2.0.1']],
    ],
  );
  assert.deepEqual(merged.serviceAccounts, ['spiffe://x/ns/b/sa/one', 'spiffe://y/ns/b/sa/two']);
  assert.equal(merged.attributes.creationTimestampMs, 80);
});

test('differInPorts compares number, name and protocol', () => {
  assert.equal(differInPorts(service('c1', 'x', 80), service('c2', 'y', 80)), false);
  assert.equal(differInPorts(service('c1', 'x', 80), service('c2', 'y', 81)), true);
});
