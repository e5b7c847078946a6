import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KubeError } from '@meltemi/kube';
import { describeApiError } from './api-error.ts';
import { CommandError } from './exit-code.ts';
import { parseFieldPath, parseManifest } from './manifest.ts';

const VIRTUAL_SERVICE = `apiVersion: v1
kind: Namespace
metadata:
  name: app1
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: helloworld
spec:
  hosts:
    - helloworld
  http:
    - name: first
      route:
        - destination:
            host: helloworld
          weight: 0
    - route:
        - destination:
            host: helloworld
          weight: -1
`;

test('parseManifest leads a field path back to its line, across documents', () => {
  const [namespace, service] = parseManifest(VIRTUAL_SERVICE, 'vs.yaml');
  assert.equal(namespace?.line, 1);
  assert.equal(service?.line, 6);
  assert.equal(service?.lineOf('spec.http[1].route[0].weight'), 22);
  assert.equal(service?.lineOf('spec.http[0].name'), 14);
  assert.equal(service?.lineOf('spec.http[0].timeout'), 14, 'a field that is absent stands on its parent');
});

test('parseManifest takes a List apart and keeps the lines of its items', () => {
  const [pod] = parseManifest(
    'apiVersion: v1\nkind: List\nitems:\n  - apiVersion: v1\n    kind: Pod\n    metadata:\n      name: p\n',
    'list.yaml',
  );
  assert.equal(pod?.object.kind, 'Pod');
  assert.equal(pod?.lineOf('metadata.name'), 7);
});

test('parseFieldPath reads indexes, names and quoted keys', () => {
  assert.deepEqual(parseFieldPath('spec.http[10].match[0].headers["x-a.b"].exact'), [
    'spec',
    'http',
    10,
    'match',
    0,
    'headers',
    'x-a.b',
    'exact',
  ]);
});

for (const { name, text, message } of [
  { name: 'malformed YAML', text: 'a: [1,\nb: 2\n', message: /^Cannot read f\.yaml:\d+:\d+: / },
  {
    name: 'an object without kind',
    text: 'apiVersion: v1\nmetadata:\n  name: x\n',
    message: /f\.yaml:1: an object needs apiVersion and kind/,
  },
  {
    name: 'an object without a name',
    text: 'apiVersion: v1\nkind: Pod\n',
    message: /f\.yaml:1: Pod needs metadata\.name/,
  },
  {
    name: 'a YAML bomb',
    text: `a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n`,
    message: /^Cannot read f\.yaml:1: its aliases multiply to more than 100; write the values out$/,
  },
  {
    name: 'an alias within itself',
    text: 'a: 1\nb: &b [*b]\n',
    message: /^Cannot read f\.yaml:1: an alias stands inside the value that it names$/,
  },
  {
    name: 'brackets without an end',
    text: `a: 1\nb: ${'['.repeat(50_000)}${']'.repeat(50_000)}\n`,
    message: /^Cannot read f\.yaml:2:\d+: nested too deeply to be read$/,
  },
]) {
  test(`parseManifest refuses ${name}`, () => {
    assert.throws(
      () => parseManifest(text, 'f.yaml'),
      (error: unknown) => error instanceof CommandError && error.exitCode === 65 && message.test(error.message),
    );
  });
}

test('describeApiError names file and line of each field that a server complains of', () => {
  const service = parseManifest(VIRTUAL_SERVICE, 'vs.yaml')[1];
  assert.ok(service !== undefined);
  const error = new KubeError('invalid', {
    statusCode: 422,
    reason: 'Invalid',
    status: {
      kind: 'Status',
      details: {
        causes: [
          { field: 'spec.http[0].route', message: 'weights sum to 0' },
          { field: 'spec.http[1].route[0].weight', message: 'must not be negative' },
        ],
      },
    },
  });
  assert.equal(
    describeApiError(error, service),
    'vs.yaml:15: VirtualService helloworld: spec.http[0].route: weights sum to 0\nvs.yaml:22: VirtualService helloworld: spec.http[1].route[0].weight: must not be negative',
  );
  const unknown = new KubeError('strict decoding error: unknown field "spec.http[1].rout"', {
    statusCode: 400,
    reason: 'BadRequest',
  });
  assert.match(describeApiError(unknown, service), /^vs\.yaml:19: VirtualService helloworld: strict decoding error/);
});
