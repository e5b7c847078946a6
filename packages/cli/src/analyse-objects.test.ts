import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AnalysedObject, analyseObjects, formatAnalysis } from './analyse-objects.ts';
import { parseManifest } from './manifest.ts';

function parse(text: string, file: string): AnalysedObject[] {
  return parseManifest(text, file).map(({ object, lineOf }) => ({
    object: { ...object, metadata: { namespace: 'app1', ...object.metadata } },
    place: (path) => `${file}:${lineOf(path)}`,
  }));
}

const ROUTE = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: routes
spec:
  hosts:
    - helloworld
  http:
    - route:
        - destination:
            host: helloworld
            subset: v2
`;
const SUBSETS = `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: subsets
spec:
  host: helloworld
  subsets:
    - name: v2
      labels: {version: v2}
`;

test('a file is seen against what is live, and takes the place of what it would replace', () => {
  const request = {
    files: parse(ROUTE, 'route.yaml'),
    hosts: new Set(['helloworld.app1.svc.cluster.local']),
    isAsked: () => true,
  };
  assert.deepEqual(analyseObjects({ ...request, live: parse(SUBSETS, 'cluster1') }), []);
  const replaced = parse(ROUTE.replace('subset: v2', 'subset: v9'), 'cluster1');
  assert.deepEqual(analyseObjects({ ...request, live: [...replaced, ...parse(SUBSETS, 'cluster1')] }), []);
  assert.match(
    formatAnalysis(analyseObjects({ ...request, live: [] })),
    /^Warning \[IST0101\] \(VirtualService app1\/routes route\.yaml:12\) spec\.http\[0\]\.route\[0\]\.destination\.subset: subset "v2"/,
  );
});

test('errors of shape come before warnings, each with its line; hosts are checked when Services are known', () => {
  const files = parse(`${ROUTE}---\n${SUBSETS.replace('host: helloworld', 'hots: helloworld')}`, 'both.yaml');
  const findings = analyseObjects({ files, live: [], hosts: new Set(), isAsked: () => true });
  assert.equal(findings[0]?.severity, 'error');
  assert.match(findings[0]?.place ?? '', /^both\.yaml:1[89]$/);
  assert.ok(findings.some(({ severity, path }) => severity === 'warning' && path.endsWith('destination.host')));
  const blind = analyseObjects({ files, live: [], hosts: undefined, isAsked: () => true });
  assert.ok(!blind.some(({ path }) => path.endsWith('destination.host')));
});

test('what was not asked about is looked at and kept silent about', () => {
  const live = parse(ROUTE, 'cluster1');
  assert.deepEqual(
    analyseObjects({ files: [], live, hosts: undefined, isAsked: ({ metadata }) => metadata.namespace === 'other' }),
    [],
  );
});
