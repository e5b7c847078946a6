import { keyText } from './resources.ts';
import type { InformerStore, KubeObject, ObjectKey } from './types.ts';

/** For each index: the values under which an object is found. */
export type IndexFunctions<Kind extends KubeObject> = Readonly<Record<string, (object: Kind) => readonly string[]>>;

/** The writable side of an {@link InformerStore}. */
export interface MutableStore<Kind extends KubeObject> extends InformerStore<Kind> {
  /** @returns The object that was replaced. */
  set(object: Kind): Kind | undefined;
  /** @returns The object that was removed. */
  remove(key: ObjectKey): Kind | undefined;
}

/** Creates an empty store, with an index for each of the functions. */
export function createInformerStore<Kind extends KubeObject>(
  indexFunctions: IndexFunctions<Kind> = {},
): MutableStore<Kind> {
  const objects = new Map<string, Kind>();
  const indexes = new Map(
    Object.entries(indexFunctions).map(([name, valuesOf]) => [
      name,
      { valuesOf, keysByValue: new Map<string, Set<string>>() },
    ]),
  );

  const addToIndexes = (key: string, object: Kind): void => {
    for (const { valuesOf, keysByValue } of indexes.values()) {
      for (const value of valuesOf(object)) {
        const keys = keysByValue.get(value);
        if (keys === undefined) keysByValue.set(value, new Set([key]));
        else keys.add(key);
      }
    }
  };
  const removeFromIndexes = (key: string, object: Kind): void => {
    for (const { valuesOf, keysByValue } of indexes.values()) {
      for (const value of valuesOf(object)) {
        const keys = keysByValue.get(value);
        keys?.delete(key);
        if (keys?.size === 0) keysByValue.delete(value);
      }
    }
  };

  return {
    get size() {
      return objects.size;
    },
    get: (key) => objects.get(keyText(key)),
    list(namespace) {
      const all = [...objects.values()];
      return namespace === undefined ? all : all.filter((object) => object.metadata.namespace === namespace);
    },
    byIndex(index, value) {
      const found = indexes.get(index);
      if (found === undefined) throw new Error(`BUG: the store has no index "${index}"`);
      // Keys of an index are always keys of the store.
      return [...(found.keysByValue.get(value) ?? [])].map((key) => objects.get(key) as Kind);
    },
    set(object) {
      const key = keyText(object.metadata);
      const previous = objects.get(key);
      if (previous !== undefined) removeFromIndexes(key, previous);
      objects.set(key, object);
      addToIndexes(key, object);
      return previous;
    },
    remove(objectKey) {
      const key = keyText(objectKey);
      const previous = objects.get(key);
      if (previous === undefined) return undefined;
      removeFromIndexes(key, previous);
      objects.delete(key);
      return previous;
    },
  };
}
