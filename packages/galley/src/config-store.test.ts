import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubernetesObject } from '@meltemi/api';
import { silentLog } from '@meltemi/base';
import { configKey } from '@meltemi/model';
import { type ConfigStore, createConfigStore, type RejectedConfig } from './config-store.ts';

const KEY = { kind: 'VirtualService', namespace: 'app1', name: 'v' };

function virtualService(version: number, weights: readonly number[]): KubernetesObject {
  const route = weights.map((weight, index) => ({ destination: { host: `h${index}` }, weight }));
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { namespace: 'app1', name: 'v', resourceVersion: String(version), generation: version },
    spec: { hosts: ['h'], http: [{ route }] },
  };
}

function setUp(): { store: ConfigStore; changes: string[]; rejections: RejectedConfig[] } {
  const changes: string[] = [];
  const rejections: RejectedConfig[] = [];
  const store = createConfigStore({ log: silentLog });
  store.onReject((rejection) => rejections.push(rejection));
  store.onChange((key) => changes.push(configKey(key)));
  return { store, changes, rejections };
}

test('ConfigStore keeps the last good version of an object whose next one is invalid', () => {
  const { store, changes, rejections } = setUp();
  store.put(virtualService(1, [50, 50]));
  store.put(virtualService(2, [0, 0]));
  assert.equal(store.list()[0]?.resourceVersion, '1');
  assert.equal(store.stateOf(KEY).state, 'rejected');
  assert.equal(rejections[0]?.servesPrevious, true);
  assert.deepEqual(changes, ['VirtualService/app1/v']);
  store.put(virtualService(3, [1, 1]));
  assert.equal(store.stateOf(KEY).state, 'accepted');
  assert.deepEqual(store.rejections(), []);
});

test('ConfigStore says nothing of a version that changes no content, but knows its version', () => {
  const { store, changes } = setUp();
  store.put(virtualService(1, [50, 50]));
  const before = store.list()[0];
  store.put(virtualService(7, [50, 50]));
  assert.equal(store.list()[0], before);
  assert.equal(changes.length, 1);
  const state = store.stateOf(KEY);
  assert.equal(state.state === 'accepted' ? state.resourceVersion : '', '7');
});

test('ConfigStore forgets removed objects, also those that were rejected', () => {
  const { store, changes } = setUp();
  store.put(virtualService(1, [0, 0]));
  store.remove(KEY);
  assert.equal(store.stateOf(KEY).state, 'absent');
  assert.deepEqual(changes, []);
});

test('ConfigStore holds a VirtualService back until a DestinationRule defines its subset', () => {
  const { store, changes, rejections } = setUp();
  const route = (subset: string): object[] => [{ destination: { host: 'h', subset } }];
  const object = virtualService(1, [1, 1]);
  store.put(object);
  const waiting = {
    ...object,
    metadata: { ...object.metadata, resourceVersion: '2' },
    spec: { hosts: ['h'], http: [{ route: route('v2') }] },
  };
  store.put(waiting);
  assert.deepEqual([rejections[0]?.isPending, rejections[0]?.servesPrevious], [true, true]);
  assert.equal(store.ofKind('VirtualService')[0]?.resourceVersion, '1');
  store.put({
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { namespace: 'app1', name: 'd', resourceVersion: '3' },
    spec: { host: 'h', subsets: [{ name: 'v2' }] },
  });
  assert.equal(store.ofKind('VirtualService')[0]?.resourceVersion, '2');
  assert.deepEqual(store.rejections(), []);
  assert.deepEqual(changes, ['VirtualService/app1/v', 'DestinationRule/app1/d', 'VirtualService/app1/v']);
});

test('ConfigStore forgets an object that waits when it is removed', () => {
  const { store } = setUp();
  store.put({
    ...virtualService(1, []),
    spec: { hosts: ['h'], http: [{ route: [{ destination: { host: 'h', subset: 'v2' } }] }] },
  });
  store.remove(KEY);
  store.put({
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { namespace: 'app1', name: 'd' },
    spec: { host: 'h', subsets: [{ name: 'v2' }] },
  });
  assert.equal(store.stateOf(KEY).state, 'absent');
});
