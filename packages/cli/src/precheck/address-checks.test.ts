import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeObject, Service } from '@meltemi/kube';
import { checkAddresses } from './address-checks.ts';
import type { ClusterFacts } from './cluster-facts.ts';
import type { PrecheckFinding } from './finding.ts';
import { checkMachine } from './machine-checks.ts';
import { checkServicePorts } from './service-checks.ts';
import { factsOf } from './testing/cluster-facts.ts';

function facts(name: string, podCIDR: string | undefined, options: Partial<ClusterFacts> = {}): ClusterFacts {
  const node: NodeObject = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'node' },
    spec: podCIDR === undefined ? {} : { podCIDR },
  };
  return factsOf(name, { nodes: [node], ...options });
}

function messages(check: (findings: PrecheckFinding[]) => void): string[] {
  const findings: PrecheckFinding[] = [];
  check(findings);
  return findings.map(({ level, subject, message }) => `${level} ${subject}: ${message}`);
}

test('ranges of pods that overlap on one network fail, on two networks they may', () => {
  const overlapping = [facts('a', '10.0.0.0/16'), facts('b', '10.0.128.0/17')];
  assert.deepEqual(
    messages((findings) => checkAddresses(overlapping, undefined, findings)),
    ['error a, b: pods 10.0.0.0/16 and pods 10.0.128.0/17 overlap on one network'],
  );
  const apart = [facts('a', '10.0.0.0/16', { network: 'n1' }), facts('b', '10.0.0.0/16', { network: 'n2' })];
  assert.match(
    messages((findings) => checkAddresses(apart, undefined, findings)).join(),
    /^info a, b: .* which is well/,
  );
});

test('a cluster whose nodes do not tell their range is named', () => {
  assert.match(
    messages((findings) =>
      checkAddresses([facts('a', undefined), facts('b', '10.0.0.0/16')], undefined, findings),
    ).join(),
    /^warning a: neither its nodes nor its pods say/,
  );
});

test('a Service counts as one across clusters: its ports are compared by number, protocol and name', () => {
  const service = (port: number, name = 'http'): Service => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { namespace: 'app1', name: 'hello' },
    spec: { ports: [{ port, name, protocol: 'TCP' }] },
  });
  const compare = (left: Service, right: Service): string =>
    messages((findings) =>
      checkServicePorts(
        [facts('a', undefined, { services: [left] }), facts('b', undefined, { services: [right] })],
        findings,
      ),
    ).join();
  assert.match(compare(service(80), service(80)), /^pass a, b: 1 services/);
  assert.match(
    compare(service(80), service(81)),
    /^warning a, b: Service app1\/hello has different ports: 80\/TCP http in a; 81\/TCP http in b$/,
  );
  assert.match(compare(service(80), service(80, 'tcp')), /^warning/);
});

test('checkMachine says what net.ipv4.tcp_migrate_req means, and refuses other systems', () => {
  const machine = { uid: 0, env: process.env, platform: 'linux' };
  const migration = (readSysctl: () => string): PrecheckFinding | undefined =>
    checkMachine({ ...machine, readSysctl }).find(({ check }) => check === 'tcp-migrate-req');
  assert.equal(migration(() => '1\n')?.level, 'pass');
  assert.equal(migration(() => '0\n')?.remedy, 'As root: sysctl -w net.ipv4.tcp_migrate_req=1');
  const absent = (): string => {
    throw new Error('ENOENT');
  };
  assert.match(migration(absent)?.remedy ?? '', /Linux 5\.14/);
  assert.equal(checkMachine({ ...machine, platform: 'darwin' })[0]?.level, 'error');
});
