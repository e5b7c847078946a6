import { type Clock, createTaskOwner, type Log, messageOf } from '@meltemi/base';
import { EVENTS, type KubeClient, type Pod } from '@meltemi/kube';
import { toTimestamp } from './pod-status.ts';

/** Something that happened to a pod, for `kubectl describe` and `kubectl get events`. */
export interface PodEvent {
  readonly type: 'Normal' | 'Warning';
  /** `Pulling`, `Created`, `Started`, `Failed`, `BackOff`, `Killing`, `Unhealthy`, … */
  readonly reason: string;
  readonly message: string;
  readonly container?: string;
}

/** Writes Events; never fails its caller. */
export interface EventRecorder {
  record(pod: Pod, event: PodEvent): void;
  /** Resolves when everything recorded so far has been written or given up. */
  settled(): Promise<void>;
}

/** Options of {@link createEventRecorder}. */
export interface EventRecorderOptions {
  readonly client: Pick<KubeClient, 'create' | 'patch'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly nodeName: string;
}

/** Repetitions known at one time; the oldest is forgotten, and would begin a new Event. */
const MAX_KNOWN = 1000;
/** Events waiting for the server; more are dropped, they are advice only. */
const MAX_PENDING = 200;

interface Known {
  readonly name: string;
  count: number;
}

/** Creates a recorder. A repeated event raises the count of the first one. */
export function createEventRecorder({ client, clock, log, nodeName }: EventRecorderOptions): EventRecorder {
  const known = new Map<string, Known>();
  let pendingCount = 0;
  let sequence = 0;
  const tasks = createTaskOwner((_name, error) => log.debug('Cannot write an event', { error: messageOf(error) }));

  const create = async (pod: Pod, event: PodEvent, name: string): Promise<void> => {
    const { namespace = 'default', uid = '', resourceVersion } = pod.metadata;
    const now = toTimestamp(clock.nowMs());
    await client.create(EVENTS, {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name, namespace },
      involvedObject: {
        apiVersion: 'v1',
        kind: 'Pod',
        name: pod.metadata.name,
        namespace,
        uid,
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
        ...(event.container === undefined ? {} : { fieldPath: `spec.containers{${event.container}}` }),
      },
      reason: event.reason,
      message: event.message,
      type: event.type,
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
      source: { component: 'kubelet', host: nodeName },
      reportingComponent: 'kubelet',
      reportingInstance: nodeName,
    });
  };

  return {
    record(pod, event) {
      if (pendingCount >= MAX_PENDING) return;
      const id = [pod.metadata.uid, event.container, event.reason, event.message].join('\n');
      const repeated = known.get(id);
      const namespace = pod.metadata.namespace ?? 'default';
      pendingCount += 1;
      const write = async (): Promise<void> => {
        try {
          if (repeated === undefined) {
            const name = `${pod.metadata.name}.${clock.nowMs().toString(16)}${(sequence++).toString(16)}`;
            known.set(id, { name, count: 1 });
            await create(pod, event, name);
            return;
          }
          repeated.count += 1;
          const body = { count: repeated.count, lastTimestamp: toTimestamp(clock.nowMs()) };
          await client.patch(EVENTS, { namespace, name: repeated.name }, { type: 'merge', body });
        } catch (error) {
          known.delete(id);
          throw error;
        } finally {
          pendingCount -= 1;
        }
      };
      if (known.size >= MAX_KNOWN) known.delete(known.keys().next().value as string);
      tasks.run('event', write);
    },
    settled: () => tasks.settled(),
  };
}
