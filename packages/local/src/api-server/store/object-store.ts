import { StatusError } from '../errors.ts';
import { type KubeObject, objectKey } from '../objects/kube-object.ts';
import { type Journal, StoreRefusedError } from './journal.ts';

/** One object at one revision, with its JSON text made once for the journal and every reader. */
export interface StoredObject {
  readonly object: KubeObject;
  readonly json: string;
  readonly revision: number;
}

/** A change of one object. */
export interface StoreEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly revision: number;
  /** The state after the change; for `DELETED` the last state, at the revision of the deletion. */
  readonly current: StoredObject;
  /** The state before the change; absent for `ADDED`. */
  readonly previous: StoredObject | undefined;
}

/** Why a write did not happen. */
export type WriteFailure = 'exists' | 'missing' | 'conflict';

/** Objects of every kind, in memory, with their changes kept in a journal. A resource is named `group/plural`. */
export interface ObjectStore {
  /** The revision of the newest change. */
  revision(): number;
  get(resource: string, namespace: string | undefined, name: string): StoredObject | undefined;
  /** Objects in the order of namespace and name. */
  list(resource: string, namespace?: string): StoredObject[];
  count(resource: string): number;
  /**
   * Adds an object. Readers see it at once, watchers when it is safe: when {@link durable} resolves. When that rejects, the
   * object is gone again.
   */
  create(resource: string, object: KubeObject): StoredObject | WriteFailure;
  /** Replaces an object when its revision is still `expectedRevision`. */
  update(resource: string, object: KubeObject, expectedRevision: number): StoredObject | WriteFailure;
  /** Removes an object when its revision is still `expectedRevision`. */
  remove(resource: string, object: KubeObject, expectedRevision: number): StoredObject | WriteFailure;
  /**
   * Calls `listener` for each change after `fromRevision`, at once for those that are past.
   *
   * @returns A function that ends it, or `undefined` when changes after `fromRevision` have been forgotten.
   */
  watch(resource: string, fromRevision: number, listener: (event: StoreEvent) => void): (() => void) | undefined;
  /**
   * Resolves when every change so far would survive a crash. To be called at once after a change: it rejects with StatusError
   * (507) when the disk refused the change, which is undone then.
   */
  durable(): Promise<void>;
  /** To be awaited before a change is begun: rejects with StatusError (507) while the disk takes none. */
  writable(): Promise<void>;
}

interface Collection {
  readonly objects: Map<string, StoredObject>;
  /** The newest changes, oldest first. */
  readonly window: StoreEvent[];
  readonly listeners: Set<(event: StoreEvent) => void>;
  /** Changes up to this revision are no longer in the window. */
  forgottenUntil: number;
}

/** The part of a journal that the store writes to. */
type WritableJournal = Pick<Journal, 'append' | 'durable' | 'writable'>;

/** What {@link createObjectStore} hands out: the store, and what the journal needs of it. */
export interface ReplayableStore {
  readonly store: ObjectStore;
  /** Takes one record of the journal; for the time before {@link start}. */
  readonly replay: (record: string) => void;
  /** The whole state as records. */
  readonly snapshot: () => Iterable<string>;
  /** Begins to write to the journal. */
  readonly start: (journal: WritableJournal) => void;
}

/**
 * Revisions that a start leaves out. Writes that were read but lost in a crash had revisions of this range; none of them is
 * given again, so a watcher from there is told to list anew.
 */
const REVISIONS_SKIPPED_AT_START = 1000;

/** Creates an empty store; `windowSize` is the number of changes kept per resource for watchers that resume. */
export function createObjectStore({ windowSize = 1024 }: { readonly windowSize?: number } = {}): ReplayableStore {
  const collections = new Map<string, Collection>();
  let revision = 1;
  let startRevision = 1;
  let journal: WritableJournal | undefined;

  function collectionOf(resource: string): Collection {
    let collection = collections.get(resource);
    if (collection === undefined) {
      collection = { objects: new Map(), window: [], listeners: new Set(), forgottenUntil: startRevision };
      collections.set(resource, collection);
    }
    return collection;
  }

  function publish(collection: Collection, event: StoreEvent): void {
    collection.window.push(event);
    // Trimmed in blocks: shifting an array at every change would move the whole window.
    if (collection.window.length > windowSize * 1.25) {
      const dropped = collection.window.splice(0, collection.window.length - windowSize);
      collection.forgottenUntil = dropped.at(-1)?.revision ?? collection.forgottenUntil;
    }
    const faults: unknown[] = [];
    for (const listener of collection.listeners) {
      try {
        listener(event);
      } catch (error) {
        faults.push(error);
      }
    }
    if (faults.length > 0) throw new AggregateError(faults, 'A listener of the store failed');
  }

  function stamp(object: KubeObject): StoredObject {
    revision += 1;
    const stamped: KubeObject = { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
    return { object: stamped, json: JSON.stringify(stamped), revision };
  }

  /** Keeps a change: watchers hear of it once it is safe; when the disk refuses it, the object is as it was. */
  function keep(resource: string, record: string, event: StoreEvent): void {
    const collection = collectionOf(resource);
    if (journal === undefined) return publish(collection, event);
    journal.append(record, {
      onDurable: () => publish(collection, event),
      onLost: () => undo(resource, event),
    });
  }

  /**
   * Takes back a change, the newest of its object first. The revision is not given again, and whoever read the object meanwhile
   * and watches from there has to hear that it is otherwise: the state before comes back as a change of its own.
   */
  function undo(resource: string, { current, previous }: StoreEvent): void {
    const collection = collectionOf(resource);
    const { namespace, name } = current.object.metadata;
    const key = objectKey(namespace, name);
    const restored = stamp((previous ?? current).object);
    if (previous === undefined) collection.objects.delete(key);
    else collection.objects.set(key, restored);
    journal?.append(previous === undefined ? `D ${resource} ${revision} ${key}` : `P ${resource} ${restored.json}`);
    publish(collection, {
      type: previous === undefined ? 'DELETED' : 'MODIFIED',
      revision,
      current: restored,
      previous: current,
    });
  }

  /** Runs a call of the journal; a refusal of its disk becomes the answer that clients get. */
  async function refusing(call: (() => Promise<void>) | undefined): Promise<void> {
    try {
      await call?.();
    } catch (error) {
      if (error instanceof StoreRefusedError) throw new StatusError('InsufficientStorage', error.message);
      throw error;
    }
  }

  const store: ObjectStore = {
    revision: () => revision,
    get: (resource, namespace, name) => collections.get(resource)?.objects.get(objectKey(namespace, name)),
    list(resource, namespace) {
      const objects = collections.get(resource)?.objects ?? new Map<string, StoredObject>();
      const keys = [...objects.keys()].filter((key) => namespace === undefined || key.startsWith(`${namespace}/`));
      return keys.sort().map((key) => objects.get(key) as StoredObject);
    },
    count: (resource) => collections.get(resource)?.objects.size ?? 0,
    create(resource, object) {
      const collection = collectionOf(resource);
      const key = objectKey(object.metadata.namespace, object.metadata.name);
      if (collection.objects.has(key)) return 'exists';
      const current = stamp(object);
      collection.objects.set(key, current);
      keep(resource, `P ${resource} ${current.json}`, { type: 'ADDED', revision, current, previous: undefined });
      return current;
    },
    update(resource, object, expectedRevision) {
      const collection = collectionOf(resource);
      const key = objectKey(object.metadata.namespace, object.metadata.name);
      const previous = collection.objects.get(key);
      if (previous === undefined) return 'missing';
      if (previous.revision !== expectedRevision) return 'conflict';
      const current = stamp(object);
      collection.objects.set(key, current);
      keep(resource, `P ${resource} ${current.json}`, { type: 'MODIFIED', revision, current, previous });
      return current;
    },
    remove(resource, object, expectedRevision) {
      const collection = collectionOf(resource);
      const key = objectKey(object.metadata.namespace, object.metadata.name);
      const previous = collection.objects.get(key);
      if (previous === undefined) return 'missing';
      if (previous.revision !== expectedRevision) return 'conflict';
      const current = stamp(object);
      collection.objects.delete(key);
      keep(resource, `D ${resource} ${revision} ${key}`, { type: 'DELETED', revision, current, previous });
      return current;
    },
    watch(resource, fromRevision, listener) {
      const collection = collectionOf(resource);
      if (fromRevision < collection.forgottenUntil || fromRevision > revision) return undefined;
      for (const event of collection.window) if (event.revision > fromRevision) listener(event);
      // What the caller has read may be ahead of what is safe and published.
      const follow = (event: StoreEvent): void => {
        if (event.revision > fromRevision) listener(event);
      };
      collection.listeners.add(follow);
      return () => void collection.listeners.delete(follow);
    },
    durable: () => refusing(journal?.durable),
    writable: () => refusing(journal?.writable),
  };

  return {
    store,
    replay(record) {
      const [operation, resource, ...rest] = record.split(' ', 3) as [string, string, string];
      const body = record.slice(operation.length + resource.length + 2);
      if (operation === 'R') revision = Math.max(revision, Number(resource));
      if (operation === 'P') {
        const object = JSON.parse(body) as KubeObject;
        const objectRevision = Number(object.metadata.resourceVersion);
        const key = objectKey(object.metadata.namespace, object.metadata.name);
        collectionOf(resource).objects.set(key, { object, json: body, revision: objectRevision });
        revision = Math.max(revision, objectRevision);
      }
      if (operation === 'D') {
        collectionOf(resource).objects.delete(body.slice((rest[0] as string).length + 1));
        revision = Math.max(revision, Number(rest[0]));
      }
    },
    *snapshot() {
      yield `R ${revision}`;
      for (const [resource, { objects }] of collections)
        for (const { json } of objects.values()) yield `P ${resource} ${json}`;
    },
    start(started) {
      journal = started;
      revision += REVISIONS_SKIPPED_AT_START;
      startRevision = revision;
      journal.append(`R ${revision}`);
      for (const collection of collections.values()) collection.forgottenUntil = revision;
    },
  };
}
