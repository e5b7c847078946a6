import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StatusError } from '../errors.ts';
import { BUILTIN_TYPES } from '../kinds/builtin-types.ts';
import type { ResourceType } from '../kinds/resource-type.ts';
import type { JsonObject } from '../objects/json-value.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { applyConfiguration } from './apply-patch.ts';
import { decodeFieldsV1, encodeFieldsV1 } from './field-set.ts';
import { recordUpdate } from './managed-fields.ts';

const SERVICE = BUILTIN_TYPES.find(({ kind }) => kind === 'Service') as ResourceType;
const EMPTY = { apiVersion: 'v1', kind: 'Service', metadata: { name: 's', namespace: 'n' } } as KubeObject;

function apply(live: KubeObject, manager: string, config: JsonObject, isForced = false): KubeObject {
  return applyConfiguration({
    type: SERVICE,
    live,
    config: { metadata: { name: 's', namespace: 'n' }, ...config },
    manager,
    subresource: '',
    isForced,
    time: 't',
  });
}

test('apply removes what its manager no longer wants, unless another manager owns it too', () => {
  const first = apply(EMPTY, 'a', { metadata: { labels: { x: '1', y: '1' } }, spec: { selector: { app: 's' } } });
  const both = apply(first, 'b', { metadata: { labels: { y: '1' } } });
  const second = apply(both, 'a', { spec: { selector: { app: 's' } } });
  assert.deepEqual(second.metadata.labels, { y: '1' });
  assert.deepEqual(second.spec, { selector: { app: 's' } });
});

test('apply takes away objects that lose their last field, but not one that is wanted empty', () => {
  const first = apply(EMPTY, 'a', {
    spec: { selector: { app: 's' }, sessionAffinityConfig: { clientIP: { timeoutSeconds: 5 } } },
  });
  const without = apply(first, 'a', { spec: { selector: { app: 's' } } });
  assert.deepEqual(without.spec, { selector: { app: 's' } });
  const empty = apply(first, 'a', { spec: { selector: { app: 's' }, sessionAffinityConfig: {} } });
  assert.deepEqual(empty.spec?.['sessionAffinityConfig'], {});
});

test('apply refuses to change what another manager owns, names it, and takes it when forced', () => {
  const first = apply(EMPTY, 'a', { spec: { type: 'ClusterIP' } });
  assert.throws(
    () => apply(first, 'b', { spec: { type: 'NodePort' } }),
    (error: unknown) =>
      error instanceof StatusError &&
      error.reason === 'Conflict' &&
      error.message === 'Apply failed with 1 conflict: conflict with "a" using v1: .spec.type',
  );
  const forced = apply(first, 'b', { spec: { type: 'NodePort' } }, true);
  assert.equal(forced.spec?.['type'], 'NodePort');
  assert.deepEqual(
    forced.metadata.managedFields?.map(({ manager }) => manager),
    ['b'],
  );
});

test('apply tells ports of one number apart by their protocol, and keeps the items of others', () => {
  const dns = (protocol: string): JsonObject => ({ name: protocol.toLowerCase(), port: 53, protocol });
  const first = apply(EMPTY, 'a', { spec: { ports: [dns('UDP')] } });
  const second = apply(first, 'b', { spec: { ports: [dns('TCP')] } });
  assert.deepEqual(second.spec?.['ports'], [dns('UDP'), dns('TCP')]);
  const third = apply(second, 'a', { spec: { ports: [{ name: 'web', port: 80, protocol: 'TCP' }] } });
  assert.deepEqual(third.spec?.['ports'], [dns('TCP'), { name: 'web', port: 80, protocol: 'TCP' }]);
});

test('an update takes the fields it changes from whoever applied them', () => {
  const live = apply(EMPTY, 'a', { spec: { type: 'ClusterIP', sessionAffinity: 'None' } });
  const next = structuredClone(live);
  next.spec = { ...next.spec, sessionAffinity: 'ClientIP' };
  recordUpdate(SERVICE, live, next, { manager: 'editor', subresource: '' });
  assert.throws(
    () => apply(next, 'a', { spec: { type: 'ClusterIP', sessionAffinity: 'None' } }),
    /conflict with "editor" using v1: \.spec\.sessionAffinity/,
  );
  const untouched = { ...EMPTY, metadata: { ...EMPTY.metadata } };
  recordUpdate(SERVICE, EMPTY, untouched, { manager: 'editor', subresource: '' });
  assert.equal(untouched.metadata.managedFields, undefined);
});

test('sets of fields survive their encoding', () => {
  const encoded = {
    'f:spec': { 'f:ports': { 'k:{"port":80,"protocol":"TCP"}': { '.': {}, 'f:port': {} } } },
    'f:metadata': { 'f:finalizers': { 'v:"x"': {} } },
  };
  assert.deepEqual(encodeFieldsV1(decodeFieldsV1(encoded)), encoded);
});
