import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DestinationRule } from '../kinds/destination-rule.ts';
import type { VirtualService } from '../kinds/virtual-service.ts';
import { analyse } from './analyse-references.ts';

function virtualService(name: string, subset: string): VirtualService {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name, namespace: 'app1' },
    spec: { hosts: ['helloworld'], http: [{ route: [{ destination: { host: 'helloworld', subset } }] }] },
  };
}

const RULE: DestinationRule = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'DestinationRule',
  metadata: { name: 'helloworld', namespace: 'app1' },
  spec: { host: 'helloworld.app1.svc.cluster.local', subsets: [{ name: 'v1' }, { name: 'v2' }] },
};

test('analysis accepts a subset that a DestinationRule defines, by short or full host name', () => {
  assert.deepEqual(analyse({ virtualServices: [virtualService('a', 'v2')], destinationRules: [RULE] }), []);
});

test('analysis names a subset that no DestinationRule defines, and those that are', () => {
  const [finding] = analyse({ virtualServices: [virtualService('a', 'v3')], destinationRules: [RULE] });
  assert.equal(finding?.code, 'IST0101');
  assert.equal(finding?.severity, 'warning');
  assert.equal(finding?.path, 'spec.http[0].route[0].destination.subset');
  assert.match(
    finding?.message ?? '',
    /subset "v3" of helloworld\.app1\.svc\.cluster\.local is not defined: .*defines v1, v2;/,
  );
});

test('analysis names a host that the registry does not have', () => {
  const findings = analyse({
    virtualServices: [virtualService('a', 'v1')],
    destinationRules: [RULE],
    hosts: new Set(['other.app1.svc.cluster.local']),
  });
  assert.match(findings[0]?.message ?? '', /is not known: no Service has this name/);
});

test('analysis reports two VirtualServices of the mesh with the same host on each of them', () => {
  const findings = analyse({
    virtualServices: [virtualService('a', 'v1'), virtualService('b', 'v1')],
    destinationRules: [RULE],
  });
  assert.deepEqual(
    findings.map((finding) => [finding.code, finding.object]),
    [
      ['IST0109', 'VirtualService/app1/a'],
      ['IST0109', 'VirtualService/app1/b'],
    ],
  );
});
