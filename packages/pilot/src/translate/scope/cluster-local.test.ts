import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultMeshConfig } from '@meltemi/api';
import { isClusterLocal } from './cluster-local.ts';

const cases = [
  {
    name: 'an ordinary service is shared by all clusters',
    hostname: 'helloworld.app1.svc.cluster.local',
    expected: false,
  },
  { name: "a cluster's API is its own", hostname: 'kubernetes.default.svc.cluster.local', expected: true },
  { name: 'the system namespace is its own', hostname: 'kube-dns.kube-system.svc.cluster.local', expected: true },
  {
    name: 'a setting makes a namespace local',
    hosts: ['*.app1.svc.cluster.local'],
    local: true,
    hostname: 'helloworld.app1.svc.cluster.local',
    expected: true,
  },
  {
    name: 'a more specific setting takes a host out of a default',
    hosts: ['kube-dns.kube-system.svc.cluster.local'],
    local: false,
    hostname: 'kube-dns.kube-system.svc.cluster.local',
    expected: false,
  },
  {
    name: 'a setting for the host of a default replaces it',
    hosts: ['kubernetes.default.svc.cluster.local'],
    local: false,
    hostname: 'kubernetes.default.svc.cluster.local',
    expected: false,
  },
] as const;

for (const { name, hostname, expected, ...setting } of cases) {
  test(`isClusterLocal: ${name}`, () => {
    const serviceSettings =
      'hosts' in setting ? [{ hosts: [...setting.hosts], settings: { clusterLocal: setting.local } }] : [];
    const meshConfig = { ...defaultMeshConfig(), serviceSettings };
    assert.equal(
      isClusterLocal({ hostname, meshConfig, domainSuffix: 'cluster.local', rootNamespace: 'istio-system' }),
      expected,
    );
  });
}
