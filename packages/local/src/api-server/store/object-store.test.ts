import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject } from '../objects/kube-object.ts';
import { createObjectStore, type StoredObject } from './object-store.ts';

function configMap(name: string, data: Record<string, string> = {}): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'app', uid: name, resourceVersion: '', creationTimestamp: '' },
    data,
  };
}

function stored(result: StoredObject | string): StoredObject {
  assert.ok(typeof result !== 'string', `refused: ${String(result)}`);
  return result;
}

test('a write on an old revision is refused and changes nothing', () => {
  const { store } = createObjectStore();
  const first = stored(store.create('core/configmaps', configMap('a')));
  stored(store.update('core/configmaps', configMap('a', { x: '1' }), first.revision));
  assert.equal(store.update('core/configmaps', configMap('a', { x: '2' }), first.revision), 'conflict');
  assert.equal(store.remove('core/configmaps', configMap('a'), first.revision), 'conflict');
  assert.equal(store.create('core/configmaps', configMap('a')), 'exists');
  assert.deepEqual(store.get('core/configmaps', 'app', 'a')?.object['data'], { x: '1' });
});

test('a watch from a revision replays what came after it, then follows', () => {
  const { store } = createObjectStore();
  const first = stored(store.create('core/configmaps', configMap('a')));
  stored(store.update('core/configmaps', configMap('a', { x: '1' }), first.revision));
  const seen: string[] = [];
  const stop = store.watch('core/configmaps', first.revision, ({ type, current }) =>
    seen.push(`${type} ${current.object.metadata.name}`),
  );
  stored(store.create('core/configmaps', configMap('b')));
  stop?.();
  stored(store.create('core/configmaps', configMap('c')));
  assert.deepEqual(seen, ['MODIFIED a', 'ADDED b']);
});

test('a watch from a revision that was forgotten, or has not been yet, is refused', () => {
  const { store } = createObjectStore({ windowSize: 4 });
  const first = stored(store.create('core/configmaps', configMap('a0')));
  for (let index = 1; index < 12; index++) stored(store.create('core/configmaps', configMap(`a${index}`)));
  assert.equal(
    store.watch('core/configmaps', first.revision, () => {}),
    undefined,
  );
  assert.equal(
    store.watch('core/configmaps', store.revision() + 1, () => {}),
    undefined,
  );
  assert.notEqual(
    store.watch('core/configmaps', store.revision(), () => {}),
    undefined,
  );
});

test('a store that starts again has the same objects and gives no revision twice', () => {
  const records: string[] = [];
  const before = createObjectStore();
  const onDisk = { durable: () => Promise.resolve(), writable: () => Promise.resolve() };
  before.start({
    ...onDisk,
    append(record, outcome) {
      records.push(record);
      outcome?.onDurable();
    },
  });
  const kept = stored(before.store.create('core/configmaps', configMap('kept', { key: 'a b\nc' })));
  const gone = stored(before.store.create('core/configmaps', configMap('gone')));
  stored(before.store.remove('core/configmaps', gone.object, gone.revision));
  const lastSeen = before.store.revision();

  for (const source of [records, [...before.snapshot()]]) {
    const after = createObjectStore();
    for (const record of source) after.replay(record);
    after.start({ ...onDisk, append: () => {} });
    assert.deepEqual(
      after.store.list('core/configmaps').map(({ json }) => json),
      [kept.json],
    );
    assert.ok(after.store.revision() > lastSeen);
    assert.equal(
      after.store.watch('core/configmaps', lastSeen, () => {}),
      undefined,
    );
  }
});
