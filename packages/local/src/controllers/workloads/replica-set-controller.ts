import { messageOf, stableJson } from '@meltemi/base';
import {
  controllerOf,
  controllerReference,
  isNotFound,
  isPodReady,
  isPodTerminal,
  type KubeClient,
  keyText,
  matchLabelSelector,
  type NewObject,
  PODS,
  type Pod,
  parseKeyText,
  REPLICA_SETS,
  type ReplicaSet,
  type WorkQueue,
} from '@meltemi/kube';
import { type ControllerDeps, createControllerQueue, enqueueSelf, onAnyChange } from '../controller.ts';
import type { EventRecorder } from '../event-recorder.ts';
import type { Informers } from '../informers.ts';
import { claimOwned } from './claim-owned.ts';
import { availableAtMs, replicaSetStatus } from './replica-set-status.ts';

/** Pods created or deleted in one pass, so that one large ReplicaSet does not hold up the others. */
const MAX_CHANGES_PER_PASS = 20;

/** What the ReplicaSet controller works with. */
export interface ReplicaSetControllerOptions extends ControllerDeps {
  readonly client: KubeClient;
  readonly informers: Pick<Informers, 'replicaSets' | 'pods'>;
  readonly events: EventRecorder;
}

/** The pod that a ReplicaSet stamps out. */
export function podOf(replicaSet: ReplicaSet): NewObject<Pod> {
  const { metadata, spec } = replicaSet.spec.template;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      generateName: `${replicaSet.metadata.name}-`,
      namespace: replicaSet.metadata.namespace ?? 'default',
      ...(metadata?.labels === undefined ? {} : { labels: metadata.labels }),
      ...(metadata?.annotations === undefined ? {} : { annotations: metadata.annotations }),
      ...(metadata?.finalizers === undefined ? {} : { finalizers: metadata.finalizers }),
      ownerReferences: [controllerReference(REPLICA_SETS, replicaSet)],
    },
    spec,
  };
}

/** Which pods go first when there are too many: those that serve least, and of equals the youngest. */
export function sortForDeletion(pods: readonly Pod[]): readonly Pod[] {
  const rank = (pod: Pod): number => {
    if (pod.spec.nodeName === undefined || pod.spec.nodeName === '') return 0;
    if (pod.status?.phase !== 'Running') return 1;
    return isPodReady(pod) ? 3 : 2;
  };
  return pods.toSorted(
    (left, right) =>
      rank(left) - rank(right) ||
      (right.metadata.creationTimestamp ?? '').localeCompare(left.metadata.creationTimestamp ?? ''),
  );
}

/** Keeps as many pods of each ReplicaSet as it asks for. */
export function createReplicaSetController(options: ReplicaSetControllerOptions): WorkQueue {
  const { client, informers, events, clock } = options;
  const { replicaSets, pods } = informers;

  const createPods = async (replicaSet: ReplicaSet, count: number): Promise<string | undefined> => {
    for (let created = 0; created < count; created += 1) {
      try {
        await client.create(PODS, podOf(replicaSet));
      } catch (error) {
        const message = `Error creating: ${messageOf(error)}`;
        await events.record({ about: replicaSet, type: 'Warning', reason: 'FailedCreate', message });
        // What refused one pod (a webhook, mostly) refuses the next as well: leave it to the retry.
        return message;
      }
    }
    return undefined;
  };

  const deletePods = async (excess: readonly Pod[]): Promise<void> => {
    for (const pod of excess) {
      await client.delete(PODS, pod.metadata, { uid: pod.metadata.uid }).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
    }
  };

  const readActivePods = async (replicaSet: ReplicaSet): Promise<readonly Pod[]> => {
    const owned = await claimOwned({
      client,
      owner: replicaSet,
      ownerRef: REPLICA_SETS,
      ownedRef: PODS,
      selector: replicaSet.spec.selector,
    });
    return owned.filter((pod) => pod.metadata.deletionTimestamp === undefined && !isPodTerminal(pod));
  };

  const work = async (key: string): Promise<void> => {
    const known = replicaSets.store.get(parseKeyText(key));
    if (known === undefined) return;
    const replicaSet = await client.find(REPLICA_SETS, known.metadata);
    if (replicaSet === undefined || replicaSet.metadata.uid !== known.metadata.uid) return;

    let active = await readActivePods(replicaSet);
    let failure: string | undefined;
    const isBeingDeleted = replicaSet.metadata.deletionTimestamp !== undefined;
    const missing = isBeingDeleted ? 0 : (replicaSet.spec.replicas ?? 1) - active.length;
    if (missing > 0) failure = await createPods(replicaSet, Math.min(missing, MAX_CHANGES_PER_PASS));
    if (missing < 0) await deletePods(sortForDeletion(active).slice(0, Math.min(-missing, MAX_CHANGES_PER_PASS)));
    if (missing !== 0) active = await readActivePods(replicaSet);

    await writeStatus(replicaSet, active, failure);
    if (failure !== undefined) throw new Error(failure);
    if (!isBeingDeleted && active.length !== (replicaSet.spec.replicas ?? 1)) queue.addAfter(key, 0);
    planAvailability(key, replicaSet, active);
  };

  const writeStatus = async (
    replicaSet: ReplicaSet,
    active: readonly Pod[],
    failure: string | undefined,
  ): Promise<void> => {
    const status = replicaSetStatus(replicaSet, active, { nowMs: clock.nowMs(), failure });
    if (stableJson(status) === stableJson(replicaSet.status ?? {})) return;
    await client.update(REPLICA_SETS, { ...replicaSet, status }, { subresource: 'status' });
  };

  /** No event tells that `minReadySeconds` have passed. */
  const planAvailability = (key: string, { spec }: ReplicaSet, active: readonly Pod[]): void => {
    const { minReadySeconds = 0 } = spec;
    if (minReadySeconds === 0) return;
    for (const pod of active) {
      const waitMs = (availableAtMs(pod, minReadySeconds) ?? 0) - clock.nowMs();
      if (waitMs > 0) queue.addAfter(key, waitMs);
    }
  };

  const queue = createControllerQueue('replicaset', work, options);
  replicaSets.subscribe(enqueueSelf(queue));
  pods.subscribe(
    onAnyChange((pod) => {
      const owner = controllerOf(pod);
      if (owner?.kind === 'ReplicaSet') queue.add(keyText({ namespace: pod.metadata.namespace, name: owner.name }));
      if (owner !== undefined) return;
      // An orphan may be waiting for adoption.
      for (const { metadata, spec } of replicaSets.store.list(pod.metadata.namespace)) {
        if (matchLabelSelector(spec.selector, pod.metadata.labels)) queue.add(keyText(metadata));
      }
    }),
  );
  return queue;
}
