import { stableJson } from '@meltemi/base';
import {
  apiVersionOf,
  type Informer,
  isNotFound,
  type KubeClient,
  type KubeObject,
  keyText,
  type ObjectKey,
  type OwnerReference,
  parseKeyText,
  type ResourceRef,
  type WorkQueue,
} from '@meltemi/kube';
import { type ApiResource, readApiResources } from './api-resources.ts';
import { type ControllerDeps, createControllerQueue } from './controller.ts';
import type { Informers } from './informers.ts';

/** Finalizers by which a deletion asks for its dependents to go first, or to be left behind. */
const FOREGROUND = 'foregroundDeletion';
const ORPHAN = 'orphan';

/** No event tells of the end of an owner whose kind is not followed: it is asked for this often. */
const UNFOLLOWED_OWNER_CHECK_MS = 30_000;

/** What the garbage collector works with. */
export interface GarbageCollectorOptions extends ControllerDeps {
  readonly client: KubeClient;
  /** The kinds whose objects are collected. Owners may be of any kind. */
  readonly informers: Informers;
}

/** An object that the queue is to look at: `plural|namespace/name`. */
function queueKey(informerName: string, object: KubeObject): string {
  return `${informerName}|${keyText(object.metadata)}`;
}

/**
 * Deletes objects whose owners are all gone, and carries out deletions that are to wait for dependents or orphan them.
 *
 * Only kinds that something here creates with owners are collected: watching every kind would cost a connection each.
 */
export function createGarbageCollector(options: GarbageCollectorOptions): WorkQueue {
  const { client, informers } = options;
  const followed: ReadonlyMap<string, Informer<KubeObject>> = new Map(Object.entries(informers));
  const followedKinds = new Set([...followed.values()].map(({ ref }) => ref.kind));
  const uids = new Set<string>();
  let resources: readonly Pick<ApiResource, 'ref'>[] = [...followed.values()];

  const refOf = async ({ apiVersion, kind }: OwnerReference): Promise<ResourceRef | undefined> => {
    const find = (): ResourceRef | undefined =>
      resources.find(({ ref }) => ref.kind === kind && apiVersionOf(ref) === apiVersion)?.ref;
    const known = find();
    if (known !== undefined) return known;
    // A custom kind may have been added since.
    resources = [...followed.values(), ...(await readApiResources(client))];
    return find();
  };

  const isGone = async (owner: OwnerReference, namespace: string | undefined): Promise<boolean> => {
    if (uids.has(owner.uid)) return false;
    const ref = await refOf(owner);
    // Of a kind that nobody serves nothing can be said: keep the object.
    if (ref === undefined) return false;
    const key: ObjectKey = ref.namespaced ? { namespace, name: owner.name } : { name: owner.name };
    const present = await client.find(ref, key);
    return present?.metadata.uid !== owner.uid;
  };

  const dependentsOf = (uid: string): readonly { readonly ref: ResourceRef; readonly object: KubeObject }[] =>
    [...followed.values()].flatMap(({ ref, store }) =>
      store
        .list()
        .filter(({ metadata }) => metadata.ownerReferences?.some((owner) => owner.uid === uid) ?? false)
        .map((object) => ({ ref, object })),
    );

  const ignoreNotFound = (error: unknown): void => {
    if (!isNotFound(error)) throw error;
  };

  const setMetadata = async (ref: ResourceRef, { metadata }: KubeObject, change: object): Promise<void> => {
    const body = { metadata: { uid: metadata.uid, resourceVersion: metadata.resourceVersion, ...change } };
    await client.patch(ref, metadata, { type: 'merge', body }).catch(ignoreNotFound);
  };

  const dropFinalizer = (ref: ResourceRef, object: KubeObject, name: string): Promise<void> =>
    setMetadata(ref, object, { finalizers: (object.metadata.finalizers ?? []).filter((other) => other !== name) });

  const withoutOwner = (
    { metadata }: KubeObject,
    uid: string,
  ): { readonly ownerReferences: readonly OwnerReference[] } => ({
    ownerReferences: (metadata.ownerReferences ?? []).filter((owner) => owner.uid !== uid),
  });

  const finishDeletion = async (ref: ResourceRef, object: KubeObject): Promise<void> => {
    const { uid = '', finalizers = [] } = object.metadata;
    const dependents = dependentsOf(uid);
    if (finalizers.includes(ORPHAN)) {
      for (const dependent of dependents) {
        await setMetadata(dependent.ref, dependent.object, withoutOwner(dependent.object, uid));
      }
      await dropFinalizer(ref, object, ORPHAN);
    } else if (finalizers.includes(FOREGROUND)) {
      for (const { ref: dependentRef, object: dependent } of dependents) {
        if (dependent.metadata.deletionTimestamp !== undefined) continue;
        const deletion = { uid: dependent.metadata.uid, propagationPolicy: 'Foreground' as const };
        await client.delete(dependentRef, dependent.metadata, deletion).catch(ignoreNotFound);
      }
      if (dependents.length === 0) await dropFinalizer(ref, object, FOREGROUND);
    }
  };

  const collect = async (key: string, ref: ResourceRef, object: KubeObject): Promise<void> => {
    const { ownerReferences = [], namespace, uid } = object.metadata;
    if (ownerReferences.length === 0) return;
    const gone: OwnerReference[] = [];
    for (const owner of ownerReferences) if (await isGone(owner, namespace)) gone.push(owner);
    if (gone.length === ownerReferences.length) {
      await client.delete(ref, object.metadata, { uid }).catch(ignoreNotFound);
    } else if (ownerReferences.some(({ kind }) => !followedKinds.has(kind))) {
      queue.addAfter(key, UNFOLLOWED_OWNER_CHECK_MS);
    }
  };

  const work = async (key: string): Promise<void> => {
    const [name = '', objectKey = ''] = key.split('|');
    const informer = followed.get(name);
    const known = informer?.store.get(parseKeyText(objectKey));
    if (informer === undefined || known === undefined) return;
    const object = await client.find(informer.ref, known.metadata);
    if (object === undefined || object.metadata.uid !== known.metadata.uid) return;
    if (object.metadata.deletionTimestamp === undefined) await collect(key, informer.ref, object);
    else await finishDeletion(informer.ref, object);
  };

  const queue = createControllerQueue('garbage collector', work, options);

  const addOwners = ({ metadata }: KubeObject): void => {
    for (const { uid } of metadata.ownerReferences ?? []) {
      // An owner that waits for its dependents looks again whenever one of them goes.
      for (const [name, { store }] of followed) {
        const owner = store.list().find((candidate) => candidate.metadata.uid === uid);
        if (owner?.metadata.deletionTimestamp !== undefined) queue.add(queueKey(name, owner));
      }
    }
  };

  for (const [name, informer] of followed) {
    informer.subscribe({
      onAdd(object) {
        uids.add(object.metadata.uid ?? '');
        if ((object.metadata.ownerReferences ?? []).length > 0 || object.metadata.deletionTimestamp !== undefined) {
          queue.add(queueKey(name, object));
        }
      },
      onUpdate(object, previous) {
        const hasNewOwners =
          stableJson(object.metadata.ownerReferences) !== stableJson(previous.metadata.ownerReferences);
        if (hasNewOwners || object.metadata.deletionTimestamp !== undefined) queue.add(queueKey(name, object));
      },
      onDelete(object) {
        const { uid = '' } = object.metadata;
        uids.delete(uid);
        addOwners(object);
        for (const [dependentName, { store }] of followed) {
          for (const dependent of store.list()) {
            if (dependent.metadata.ownerReferences?.some((owner) => owner.uid === uid) ?? false) {
              queue.add(queueKey(dependentName, dependent));
            }
          }
        }
      },
    });
  }
  return queue;
}
