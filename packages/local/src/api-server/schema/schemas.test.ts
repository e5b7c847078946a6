import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kubernetesFields } from './field-table.ts';
import { decodeEnvelope, decodeKubernetesProtobuf } from './protobuf.ts';
import { checkFields } from './strict-fields.ts';
import { applySchemaDefaults, pruneUnknown, type StructuralSchema, validateSchema } from './structural-schema.ts';

/** Protobuf by hand: fields in the order given; text and bytes with their length, numbers as varints. */
function message(...fields: readonly (readonly [number, string | Buffer | number])[]): Buffer {
  const varint = (value: number): number[] =>
    value < 128 ? [value] : [(value & 127) | 128, ...varint(Math.floor(value / 128))];
  return Buffer.concat(
    fields.map(([number, value]) => {
      if (typeof value === 'number') return Buffer.from([...varint(number * 8), ...varint(value)]);
      const bytes = Buffer.from(value as string);
      return Buffer.concat([Buffer.from([...varint(number * 8 + 2), ...varint(bytes.length)]), bytes]);
    }),
  );
}

function envelope(apiVersion: string, kind: string, raw: Buffer): Buffer {
  return Buffer.concat([Buffer.from('k8s\0'), message([1, message([1, apiVersion], [2, kind])], [2, raw])]);
}

test('protobuf of a Pod becomes the object that its JSON would be', () => {
  const quantity = message([1, '500m']);
  const probe = message([1, message([2, message([1, '/ready'], [2, message([1, 1], [3, 'http'])])])], [2, 5]);
  const container = message(
    [1, 'app'],
    [2, 'image:1'],
    [6, message([3, 8080])],
    [8, message([1, message([1, 'cpu'], [2, quantity])])],
    [10, probe],
    [7, message([1, 'EMPTY'], [2, ''])],
  );
  const volume = message([1, 'config'], [2, message([19, message([1, message([1, 'settings'])])])]);
  const metadata = message([1, 'web'], [3, 'app1'], [8, message()], [11, message([1, 'app'], [2, 'web'])], [2, '']);
  const raw = message([1, metadata], [2, message([1, volume], [2, container], [4, 30])], [3, message()]);
  const object = decodeKubernetesProtobuf(kubernetesFields(), 'core.Pod', decodeEnvelope(envelope('v1', 'Pod', raw)));
  assert.deepEqual(object, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web', namespace: 'app1', labels: { app: 'web' } },
    spec: {
      volumes: [{ name: 'config', configMap: { name: 'settings' } }],
      containers: [
        {
          name: 'app',
          image: 'image:1',
          ports: [{ containerPort: 8080 }],
          resources: { limits: { cpu: '500m' } },
          livenessProbe: { httpGet: { path: '/ready', port: 'http' }, initialDelaySeconds: 5 },
          env: [{ name: 'EMPTY', value: '' }],
        },
      ],
      terminationGracePeriodSeconds: 30,
    },
    status: {},
  });
});

test('protobuf of a review keeps lists of texts that are wrapped', () => {
  const extra = message([1, 'scopes'], [2, message([1, 'a'], [1, 'b'])]);
  const raw = message([1, message()], [2, message([3, 'jane'], [5, extra])]);
  const object = decodeKubernetesProtobuf(
    kubernetesFields(),
    'authorization.SubjectAccessReview',
    decodeEnvelope(envelope('authorization.k8s.io/v1', 'SubjectAccessReview', raw)),
  );
  assert.deepEqual(object['spec'], { user: 'jane', extra: { scopes: ['a', 'b'] } });
});

test('protobuf cut short anywhere is refused or read as fewer fields, never a crash', () => {
  const whole = envelope('v1', 'ConfigMap', message([1, message([1, 'name'])], [2, message([1, 'key'], [2, 'value'])]));
  for (let length = 0; length < whole.length; length++) {
    try {
      decodeKubernetesProtobuf(kubernetesFields(), 'core.ConfigMap', decodeEnvelope(whole.subarray(0, length)));
    } catch (error) {
      assert.ok(error instanceof RangeError, String(error));
    }
  }
});

test('unknown fields and wrong types of built-in kinds are found with their paths', () => {
  const object = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'x', lables: {} },
    spec: { ports: [{ port: 'http', portName: 'x' }], selector: { anything: 'goes' } },
  };
  const found = checkFields(kubernetesFields(), 'core.Service', object);
  assert.deepEqual(found.unknown, ['metadata.lables', 'spec.ports[0].portName']);
  assert.deepEqual(found.mistyped, ['spec.ports[0].port must be an integer, not "http"']);
  assert.deepEqual(object.spec.ports, [{ port: 'http' }]);
});

const SCHEMA: StructuralSchema = {
  type: 'object',
  required: ['hosts'],
  properties: {
    hosts: { type: 'array', items: { type: 'string', minLength: 1 }, minItems: 1 },
    weight: { type: 'integer', minimum: 0, maximum: 100 },
    mode: { type: 'string', enum: ['A', 'B'], default: 'A' },
    timeout: { type: 'string', pattern: '^\\d+s$' },
    port: { 'x-kubernetes-int-or-string': true },
    match: {
      type: 'object',
      properties: { name: { type: 'string' } },
      oneOf: [{ required: ['exact'] }, { required: ['prefix'] }],
    },
    extra: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
    nested: {
      type: 'object',
      additionalProperties: { type: 'object', properties: { on: { type: 'boolean', default: true } } },
    },
  },
};

test('a structural schema defaults, prunes and keeps what it is told to keep', () => {
  const value = { hosts: ['a'], foo: 1, extra: { any: { thing: 1 } }, nested: { a: { off: 1 }, b: {} } };
  assert.deepEqual(pruneUnknown(value, SCHEMA), ['foo', 'nested.a.off']);
  applySchemaDefaults(value, SCHEMA);
  assert.deepEqual(value, {
    hosts: ['a'],
    mode: 'A',
    extra: { any: { thing: 1 } },
    nested: { a: { on: true }, b: { on: true } },
  });
  assert.deepEqual(validateSchema(value, SCHEMA), []);
});

test('a structural schema tells every violation with its field', () => {
  const bad = {
    hosts: [''],
    weight: 101,
    mode: 'C',
    timeout: '5m',
    port: true,
    match: { exact: 'x', prefix: 'y' },
    nested: [],
  };
  assert.deepEqual(
    validateSchema(bad, SCHEMA, 'spec').map(({ field }) => field),
    ['spec.hosts[0]', 'spec.weight', 'spec.mode', 'spec.timeout', 'spec.port', 'spec.match', 'spec.nested'],
  );
  const [missing] = validateSchema({}, SCHEMA, 'spec');
  assert.deepEqual(missing, { reason: 'FieldValueRequired', field: 'spec.hosts', message: 'Required value' });
});
