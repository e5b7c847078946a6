import {
  isNotFound,
  type KubeClient,
  type KubeObject,
  NAMESPACES,
  type Namespace,
  parseKeyText,
  type ResourceRef,
  type WorkQueue,
} from '@meltemi/kube';
import { readApiResources } from '../api-resources.ts';
import { type ControllerDeps, createControllerQueue, enqueueSelf } from '../controller.ts';
import type { Informers } from '../informers.ts';

/** The finalizer in a namespace's spec that is this controller's to remove. */
const FINALIZER = 'kubernetes';

/** Content that ends in its own time, pods above all, is looked at again after this long. */
const RECHECK_MS = 250;

/** What the namespace deletion controller works with. */
export interface NamespaceDeletionOptions extends ControllerDeps {
  readonly client: KubeClient;
  readonly informers: Pick<Informers, 'namespaces'>;
}

/** Empties namespaces that are being deleted, of every kind that the API server knows, and lets them go. */
export function createNamespaceDeletionController(options: NamespaceDeletionOptions): WorkQueue {
  const { client, informers } = options;

  const deleteObject = async (ref: ResourceRef, object: KubeObject): Promise<void> => {
    if (object.metadata.deletionTimestamp !== undefined) return;
    await client.delete(ref, object.metadata, { uid: object.metadata.uid }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  };

  /** @returns How many objects were there. */
  const deleteContent = async (namespace: string): Promise<number> => {
    let count = 0;
    for (const { ref, verbs } of await readApiResources(client)) {
      if (!ref.namespaced || !verbs.includes('delete') || !verbs.includes('list')) continue;
      const { items } = await client.list(ref, { namespace });
      count += items.length;
      for (const item of items) await deleteObject(ref, item);
    }
    return count;
  };

  const finalize = async (namespace: Namespace): Promise<void> => {
    const finalizers = (namespace.spec?.finalizers ?? []).filter((name) => name !== FINALIZER);
    const body = { ...namespace, spec: { ...namespace.spec, finalizers } };
    await client.update(NAMESPACES, body, { subresource: 'finalize' }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  };

  const work = async (key: string): Promise<void> => {
    const { name } = parseKeyText(key);
    if (informers.namespaces.store.get({ name })?.metadata.deletionTimestamp === undefined) return;
    const namespace = await client.find(NAMESPACES, { name });
    if (namespace?.metadata.deletionTimestamp === undefined) return;
    if ((await deleteContent(name)) === 0) await finalize(namespace);
    else queue.addAfter(key, RECHECK_MS);
  };

  const queue = createControllerQueue('namespace deletion', work, options);
  informers.namespaces.subscribe(enqueueSelf(queue));
  return queue;
}
