import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kubernetesFields } from '../schema/field-table.ts';
import { applyJsonPatch } from './json-patch.ts';
import { applyMergePatch } from './merge-patch.ts';
import { applyStrategicMergePatch } from './strategic-merge-patch.ts';

test('merge patch replaces lists, merges objects and removes with null', () => {
  assert.deepEqual(applyMergePatch({ a: 1, b: { c: 1, d: 2 }, e: [1] }, { a: null, b: { c: 3 }, e: [2] }), {
    b: { c: 3, d: 2 },
    e: [2],
  });
  assert.deepEqual(applyMergePatch('text', { a: { b: null } }), { a: {} });
});

test('JSON patch does all of its operations', () => {
  const document = { a: [1, 2], b: { 'x/y': 1, '~': 2 } };
  const patch = [
    { op: 'test', path: '/a/0', value: 1 },
    { op: 'add', path: '/a/-', value: 3 },
    { op: 'add', path: '/a/0', value: 0 },
    { op: 'remove', path: '/b/x~1y' },
    { op: 'replace', path: '/b/~0', value: 4 },
    { op: 'copy', from: '/a', path: '/c' },
    { op: 'move', from: '/b', path: '/d' },
  ];
  assert.deepEqual(applyJsonPatch(document, patch), {
    ok: true,
    value: { a: [0, 1, 2, 3], c: [0, 1, 2, 3], d: { '~': 4 } },
  });
  assert.deepEqual(document, { a: [1, 2], b: { 'x/y': 1, '~': 2 } });
});

test('JSON patch names the operation that cannot be done', () => {
  for (const [step, why] of [
    [{ op: 'remove', path: '/nope' }, /operation 0 \(remove \/nope\): there is nothing/],
    [{ op: 'replace', path: '/a/9', value: 1 }, /nothing at this path/],
    [{ op: 'add', path: '/a/01', value: 1 }, /nothing at this path/],
    [{ op: 'test', path: '/a', value: [] }, /differs/],
    [{ op: 'add', path: 'a', value: 1 }, /not a JSON pointer/],
    [{ op: 'jump', path: '/a' }, /unknown operation/],
    [{ op: 'add', path: '/__proto__', value: {} }, /nothing at this path/],
  ] as const) {
    const result = applyJsonPatch({ a: [1] }, [step]);
    assert.ok(!result.ok, JSON.stringify(step));
    assert.match(result.error, why);
  }
});

const deployment = {
  spec: {
    template: {
      spec: {
        containers: [
          {
            name: 'app',
            image: 'app:1',
            env: [
              { name: 'A', value: '1' },
              { name: 'B', value: '2' },
            ],
            ports: [{ containerPort: 80 }],
            args: ['x', 'y'],
          },
          { name: 'proxy', image: 'proxy:1' },
        ],
        volumes: [{ name: 'v', emptyDir: {} }],
      },
    },
  },
  metadata: { finalizers: ['a', 'b'] },
};

function strategic(
  patch: Record<string, unknown>,
): Record<string, any> /* oxlint-disable-line typescript/no-explicit-any */ {
  return applyStrategicMergePatch(kubernetesFields(), 'apps.Deployment', deployment, patch);
}

function podSpec(
  patch: Record<string, unknown>,
): Record<string, any> /* oxlint-disable-line typescript/no-explicit-any */ {
  return strategic({ spec: { template: { spec: patch } } })['spec'].template.spec;
}

test('strategic merge merges lists by their keys and replaces those without', () => {
  const spec = podSpec({
    containers: [
      {
        name: 'app',
        image: 'app:2',
        args: ['z'],
        env: [
          { name: 'B', value: '3' },
          { name: 'C', value: '4' },
        ],
      },
    ],
  });
  assert.deepEqual(spec['containers'][0], {
    name: 'app',
    image: 'app:2',
    env: [
      { name: 'C', value: '4' },
      { name: 'A', value: '1' },
      { name: 'B', value: '3' },
    ],
    ports: [{ containerPort: 80 }],
    args: ['z'],
  });
  assert.equal(spec['containers'][1].image, 'proxy:1');
});

test('strategic merge deletes, replaces, retains and orders as its directives say', () => {
  assert.deepEqual(podSpec({ containers: [{ name: 'proxy', $patch: 'delete' }] })['containers'].length, 1);
  assert.deepEqual(podSpec({ containers: [{ $patch: 'replace' }, { name: 'new', image: 'n' }] })['containers'], [
    { name: 'new', image: 'n' },
  ]);
  assert.deepEqual(
    podSpec({ volumes: [{ name: 'v', $retainKeys: ['name', 'hostPath'], hostPath: { path: '/x' } }] })['volumes'],
    [{ name: 'v', hostPath: { path: '/x' } }],
  );
  const ordered = podSpec({
    '$setElementOrder/containers': [{ name: 'proxy' }, { name: 'app' }],
    containers: [{ name: 'app', image: 'app:3' }],
  });
  assert.deepEqual(
    ordered['containers'].map((container: { name: string }) => container.name),
    ['proxy', 'app'],
  );
  assert.deepEqual(
    strategic({ metadata: { finalizers: ['c'], '$deleteFromPrimitiveList/finalizers': ['a'] } })[
      'metadata'
    ].finalizers.toSorted(),
    ['b', 'c'],
  );
  assert.deepEqual(podSpec({ volumes: null })['volumes'], undefined);
});
