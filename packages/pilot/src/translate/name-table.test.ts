import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Endpoint, EndpointShards, Service } from '@meltemi/model';
import { fixtureService, fixtureShards } from '../testing/mesh-fixture.ts';
import { buildNameTable } from './name-table.ts';

const PORTS = [{ name: 'http', number: 80 }];

function table(services: readonly Service[], headless: readonly (EndpointShards | undefined)[] = []) {
  const { resource } = buildNameTable({ services, headless, clusterId: 'cluster1', network: '' });
  return Object.fromEntries(
    Object.entries(resource.table).map(([host, { ips, registry, shortname, namespace }]) => [
      host,
      [ips, registry, shortname, namespace],
    ]),
  );
}

test('MC-36 a Service is known by its own virtual address, one of another cluster by the address that it has there', () => {
  const local = fixtureService({ name: 'local', vip: '10.111.0.1', ports: PORTS });
  const remote = {
    ...fixtureService({ name: 'remote', ports: PORTS }),
    clusterVIPs: new Map([['cluster2', ['10.112.0.2']]]),
    defaultAddress: '10.112.0.2',
  };
  assert.deepEqual(table([local, remote]), {
    'local.default.svc.cluster.local': [['10.111.0.1'], 'Kubernetes', 'local', 'default'],
    'remote.default.svc.cluster.local': [['10.112.0.2'], 'Kubernetes', 'remote', 'default'],
  });
});

test('MC-38 a headless service is known by the ready pods of the own cluster, and each pod by its name', () => {
  const fixture = {
    name: 'db',
    ports: PORTS,
    headless: true,
    endpoints: [
      { address: '10.11.0.1' },
      { address: '10.11.0.2', health: 'unhealthy' as const },
      { address: '10.11.0.4', health: 'terminating' as const },
      { address: '10.12.0.1', cluster: 'cluster2' },
      { address: '10.12.0.3', cluster: 'cluster2' },
    ],
  };
  const named = (endpoint: Endpoint, index: number): Endpoint => ({
    ...endpoint,
    hostname: endpoint.address.endsWith('.3') ? 'db-3' : `db-${index}`,
    subdomain: 'db',
  });
  const shards = new Map([...fixtureShards(fixture)].map(([cluster, list]) => [cluster, list.map(named)]));
  assert.deepEqual(table([fixtureService(fixture)], [shards]), {
    'db.default.svc.cluster.local': [['10.11.0.1'], 'Kubernetes', 'db', 'default'],
    'db-0.db.default.svc.cluster.local': [['10.11.0.1'], 'Kubernetes', 'db-0.db', 'default'],
    'db-3.db.default.svc.cluster.local': [['10.12.0.3'], 'Kubernetes', 'db-3.db', 'default'],
  });
});

test('ranges and services without an address are not known; other registries have no short names and yield to Services', () => {
  const base = fixtureService({ name: 'x', vip: '240.240.0.1', ports: PORTS });
  const external = (hostname: string, address: string): Service => ({
    ...base,
    hostname,
    clusterVIPs: new Map(),
    defaultAddress: address,
    attributes: { ...base.attributes, registry: 'External' },
  });
  const service = fixtureService({ name: 'same', vip: '10.111.0.9', ports: PORTS });
  const known = table([
    external('a.example', '240.240.0.1'),
    external('a.example', '240.240.0.2'),
    external('range.example', '10.0.0.0/8'),
    external('none.example', '0.0.0.0'),
    external(service.hostname, '240.240.0.3'),
    service,
  ]);
  assert.deepEqual(known, {
    'a.example': [['240.240.0.1', '240.240.0.2'], 'External', '', ''],
    'same.default.svc.cluster.local': [['10.111.0.9'], 'Kubernetes', 'same', 'default'],
  });
});
