import { type Clock, type Log, MeltemiError } from '@meltemi/base';
import {
  CONFIG_MAPS,
  type ConfigMap,
  createInformer,
  type Informer,
  type KubeClient,
  type ObjectKey,
  type ResourceRef,
  SECRETS,
  type Secret,
} from '@meltemi/kube';
import type { ConfigLookup } from './container-env.ts';

/** The ConfigMaps and Secrets that pods of this node refer to, each watched by its name and once only. */
export interface ObjectCache {
  /**
   * What one pod sees of the cache.
   *
   * @param onChange Called when an object that the pod has asked for changes, appears or disappears.
   */
  open(namespace: string, onChange: () => void): PodObjects;
}

/** One pod's hold on the cache; what it has asked for stays watched until it is closed. */
export interface PodObjects extends ConfigLookup {
  close(): void;
}

/** Options of {@link createObjectCache}. */
export interface ObjectCacheOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
}

interface Entry {
  readonly informer: Informer<ConfigMap | Secret>;
  readonly controller: AbortController;
  readonly listeners: Set<() => void>;
}

/** A pod start must not hang for ever on a server that does not answer; it is tried again. */
const SYNC_TIMEOUT_MS = 10_000;

/** Creates an empty cache. */
export function createObjectCache({ client, clock, log }: ObjectCacheOptions): ObjectCache {
  const entries = new Map<string, Entry>();

  const createEntry = (ref: ResourceRef<ConfigMap | Secret>, key: ObjectKey): Entry => {
    const listeners = new Set<() => void>();
    const notify = (): void => {
      for (const listener of listeners) listener();
    };
    const informer = createInformer<ConfigMap | Secret>({
      client,
      ref,
      namespace: key.namespace,
      fieldSelector: `metadata.name=${key.name}`,
      clock,
      log,
    });
    const controller = new AbortController();
    void informer.start(controller.signal);
    informer.subscribe({ onAdd: notify, onUpdate: notify, onDelete: notify });
    return { informer, controller, listeners };
  };

  const untilSynced = (entry: Entry, what: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const timer = clock.setTimer(
        () => reject(new MeltemiError('CONTAINER_CONFIG', `Cannot read ${what}: the API server does not answer`)),
        SYNC_TIMEOUT_MS,
      );
      void entry.informer.synced.then(() => {
        timer.cancel();
        resolve();
      });
    });

  return {
    open(namespace, onChange) {
      const held = new Map<string, Entry>();

      const hold = (ref: ResourceRef<ConfigMap | Secret>, name: string): Entry => {
        const id = `${ref.plural}/${namespace}/${name}`;
        const entry = held.get(id) ?? entries.get(id) ?? createEntry(ref, { namespace, name });
        entries.set(id, entry);
        held.set(id, entry);
        return entry;
      };

      const read = async <Kind extends ConfigMap | Secret>(ref: ResourceRef<Kind>, name: string) => {
        const entry = hold(ref as ResourceRef<ConfigMap | Secret>, name);
        await untilSynced(entry, `${ref.kind} ${namespace}/${name}`);
        // Only now: the first list is no change.
        entry.listeners.add(onChange);
        // The entry was made with the same reference, so its objects are of this kind.
        return entry.informer.store.get({ namespace, name }) as Kind | undefined;
      };

      return {
        configMap: (name) => read(CONFIG_MAPS, name),
        secret: (name) => read(SECRETS, name),
        close() {
          for (const [id, entry] of held) {
            entry.listeners.delete(onChange);
            if (entry.listeners.size > 0) continue;
            entry.controller.abort();
            entries.delete(id);
          }
          held.clear();
        },
      };
    },
  };
}
