import { createInformer, type Informer, PODS, type Pod } from '@meltemi/kube';
import type { ProcessState } from '../supervisor/protocol.ts';
import type { KubeletContext } from './kubelet-context.ts';
import type { PodRecord } from './pod-records.ts';
import { removePodVolumes } from './pod-volumes.ts';
import { PodWorker } from './pod-worker.ts';

/** Runs the pods that are bound to one node. */
export interface Kubelet extends AsyncDisposable {
  /**
   * Adopts what runs, and begins to follow the pods. Resolves when all pods present have been looked at once.
   *
   * @param processes All of the node's processes.
   */
  start(processes: readonly ProcessState[]): Promise<void>;
  /** One of the node's processes has ended. */
  onExit(process: ProcessState): void;
  /** A pod by its name, for logs and exec. */
  find(namespace: string, name: string): PodWorker | undefined;
}

/** Creates the kubelet; nothing happens before `start`. */
export function createKubelet(context: KubeletContext): Kubelet {
  const { client, node, log, clock, store, sandbox, supervisor, directories } = context;
  const workers = new Map<string, PodWorker>();
  const ended = new AbortController();
  let records = new Map<string, PodRecord>();
  let processes: readonly ProcessState[] = [];

  const informer: Informer<Pod> = createInformer({
    client,
    ref: PODS,
    fieldSelector: `spec.nodeName=${node.name}`,
    clock,
    log: log.scope('informer'),
  });

  /** `cluster1-node.<uid>.<container>.<start>` */
  const uidOf = ({ key }: ProcessState): string => key.slice(node.name.length + 1).split('.')[0] as string;

  const add = (pod: Pod): void => {
    const uid = pod.metadata.uid ?? '';
    const record = records.get(uid);
    records.delete(uid);
    // A pod that has ended and of which nothing is kept was looked after by someone before.
    const isOver = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
    if (record === undefined && isOver && pod.metadata.deletionTimestamp === undefined) return;
    const worker = new PodWorker({ context, pod, record, onGone: () => workers.delete(uid) });
    workers.set(uid, worker);
    worker.start(processes.filter((process) => uidOf(process) === uid));
  };

  const update = (pod: Pod): void => {
    const worker = workers.get(pod.metadata.uid ?? '');
    if (worker === undefined) add(pod);
    else worker.update(pod);
  };

  const forget = (process: ProcessState): void => {
    sandbox.releaseContainer(process.key);
    supervisor.forget(process.key).catch(() => {});
  };

  /** Pods that were deleted while no kubelet ran: what is left of them goes. */
  const removeOrphans = async (): Promise<void> => {
    for (const process of processes) {
      if (workers.has(uidOf(process))) continue;
      if (process.exit === undefined) await supervisor.signal(process.key, 'SIGKILL');
      else forget(process);
    }
    for (const { uid, ip } of records.values()) {
      await sandbox.removePodNetwork({ uid, ip });
      context.addresses.release(ip);
      removePodVolumes(uid, directories);
      store.remove(uid);
    }
    records.clear();
  };

  return {
    async start(present) {
      processes = present;
      records = new Map(store.load().map((record) => [record.uid, record]));
      for (const { ip } of records.values()) context.addresses.reserve(ip);
      informer.subscribe({
        onAdd: add,
        onUpdate(pod, previous) {
          if (pod.metadata.uid !== previous.metadata.uid) workers.get(previous.metadata.uid ?? '')?.remove();
          update(pod);
        },
        onDelete: (pod) => workers.get(pod.metadata.uid ?? '')?.remove(),
      });
      await informer.start(ended.signal);
      if (!ended.signal.aborted) await removeOrphans();
      processes = [];
    },
    onExit(process) {
      const worker = workers.get(uidOf(process));
      if (worker === undefined) forget(process);
      else worker.onExit(process);
    },
    // The last one: a pod of the same name may still be ending.
    find: (namespace, name) => [...workers.values()].findLast((worker) => worker.name === `${namespace}/${name}`),
    async [Symbol.asyncDispose]() {
      ended.abort();
      for (const worker of workers.values()) worker.close();
      await context.events.settled();
    },
  };
}
