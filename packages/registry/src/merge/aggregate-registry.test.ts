import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '@meltemi/base';
import { ENDPOINT_SLICES, PODS, SERVICES } from '@meltemi/kube';
import { FakeKubeClient } from '@meltemi/kube/testing';
import { serviceAddresses } from '@meltemi/model';
import type { ClusterRegistry } from '../cluster-registry.ts';
import { testRegistry } from '../testing/test-registry.ts';
import { createAggregateRegistry } from './aggregate-registry.ts';

interface ClusterFixture {
  readonly vip: string;
  readonly port: number;
  readonly account: string;
  readonly podIp: string;
}

/** A cluster that serves `hello`, and one service that only it has. */
async function cluster(
  clusterId: string,
  { vip, port, account, podIp }: ClusterFixture,
  signal: AbortSignal,
): Promise<ClusterRegistry> {
  const client = new FakeKubeClient();
  for (const [name, clusterIP] of [
    ['hello', vip],
    [`only-${clusterId}`, vip.replace('.9', '.8')],
  ] as const)
    client.seed(SERVICES, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'app1' },
      spec: { clusterIP, ports: [{ name: 'http', port }] },
    });
  client.seed(PODS, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'app1' },
    spec: { containers: [], serviceAccountName: account },
    status: { podIP: podIp },
  });
  client.seed(ENDPOINT_SLICES, {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 's', namespace: 'app1', labels: { 'kubernetes.io/service-name': 'hello' } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 5000 }],
    endpoints: [{ addresses: [podIp], targetRef: { kind: 'Pod', name: 'p' } }],
  });
  const registry = testRegistry({ clusterId, client });
  await registry.start(signal);
  return registry;
}

test('AggregateRegistry makes one service of each name: ports of the config cluster, an address per cluster, all accounts', async () => {
  const stop = new AbortController();
  const warnings: string[] = [];
  const log = { ...silentLog, warn: (_message: string, fields?: object) => warnings.push(JSON.stringify(fields)) };
  const aggregate = createAggregateRegistry({ log });
  const first = { vip: '10.111.0.9', port: 80, account: 'one', podIp: '10.11.1.1' };
  const second = { vip: '10.112.0.9', port: 81, account: 'two', podIp: '10.12.1.1' };
  aggregate.set(await cluster('cluster1', first, stop.signal));
  aggregate.set(await cluster('cluster2', second, stop.signal));
  const named = (name: string): NonNullable<ReturnType<typeof find>> => find(name) ?? assert.fail(`no service ${name}`);
  const find = (name: string): ReturnType<typeof aggregate.inputs>['services'][number] | undefined =>
    aggregate.inputs().services.find((service) => service.name === name);

  const merged = named('hello');
  assert.deepEqual(
    merged.ports.map(({ number }) => number),
    [80],
  );
  // Each proxy sees the address of its own cluster, and one that has none that of the cluster which has.
  assert.deepEqual(serviceAddresses(merged, 'cluster1'), ['10.111.0.9']);
  assert.deepEqual(serviceAddresses(merged, 'cluster2'), ['10.112.0.9']);
  assert.deepEqual(serviceAddresses(named('only-cluster2'), 'cluster1'), ['10.112.0.8']);
  assert.deepEqual(merged.serviceAccounts, [
    'spiffe://cluster.local/ns/app1/sa/one',
    'spiffe://cluster.local/ns/app1/sa/two',
  ]);
  const shards = aggregate.inputs().endpoints.get('app1/hello.app1.svc.cluster.local');
  assert.deepEqual(
    [...(shards ?? [])].map(([id, endpoints]) => [id, endpoints.map(({ address }) => address)]),
    [
      ['cluster1', ['10.11.1.1']],
      ['cluster2', ['10.12.1.1']],
    ],
  );
  aggregate.inputs();
  assert.deepEqual(warnings, ['{"service":"app1/hello.app1.svc.cluster.local"}'], 'different ports are told once');

  // Credentials that are rotated keep the cluster's place, so that nothing changes.
  aggregate.set(await cluster('cluster1', first, stop.signal));
  assert.deepEqual(named('hello').ports, merged.ports);
  aggregate.remove('cluster2');
  assert.deepEqual([...named('hello').clusterVIPs.keys()], ['cluster1']);
  assert.deepEqual(named('hello').serviceAccounts, ['spiffe://cluster.local/ns/app1/sa/one']);
  assert.equal(find('only-cluster2'), undefined);
  stop.abort();
});
