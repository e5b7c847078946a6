import { type Clock, createBackoff, type Log, messageOf, type Random, sleep, stableJson } from '@meltemi/base';
import { isConflict, isNotFound, type KubeClient, PODS, type Pod, type PodStatus } from '@meltemi/kube';

/** Writes one pod's status to the API: always the newest, one write at a time, until it is accepted. */
export interface StatusPublisher {
  publish(status: PodStatus): void;
  /** Resolves when the last status has been written, or cannot be any more because the pod is gone. */
  settled(): Promise<void>;
  /** Gives up what has not been written. */
  close(): void;
}

/** Options of {@link createStatusPublisher}. */
export interface StatusPublisherOptions {
  readonly client: Pick<KubeClient, 'patch'>;
  readonly pod: Pod;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Conditions are merged with those that the server has: a reason that is over must be taken out by name. */
function toPatch(status: PodStatus): unknown {
  return {
    ...status,
    conditions: status.conditions?.map((condition) => ({ reason: null, message: null, ...condition })),
  };
}

/** Creates a publisher for one incarnation of a pod. */
export function createStatusPublisher(options: StatusPublisherOptions): StatusPublisher {
  const { client, pod, clock, random, log } = options;
  const { name, namespace, uid } = pod.metadata;
  const closed = new AbortController();
  const backoff = createBackoff({ baseMs: 100, maxMs: 5000, random });
  let wanted: PodStatus | undefined;
  let writtenText = '';
  let running: Promise<void> | undefined;

  const writeOnce = async (status: PodStatus): Promise<boolean> => {
    try {
      // The uid makes the server refuse the write when the name has passed to another pod.
      const body = { metadata: { uid }, status: toPatch(status) };
      const patch = { type: 'strategic', body } as const;
      await client.patch(PODS, { namespace, name }, patch, { subresource: 'status', signal: closed.signal });
      return true;
    } catch (error) {
      if (closed.signal.aborted) return false;
      if (isNotFound(error) || isConflict(error)) {
        closed.abort();
        return false;
      }
      log.debug('Cannot write a status yet', { pod: `${namespace}/${name}`, error: messageOf(error) });
      await sleep(clock, backoff.nextMs(), closed.signal);
      return false;
    }
  };

  const drain = async (): Promise<void> => {
    while (wanted !== undefined && !closed.signal.aborted) {
      const status = wanted;
      const text = stableJson(status);
      if (text !== writtenText) {
        if (!(await writeOnce(status))) continue;
        backoff.reset();
        writtenText = text;
      }
      if (wanted === status) wanted = undefined;
    }
  };

  return {
    publish(status) {
      wanted = status;
      running ??= drain().finally(() => {
        running = undefined;
      });
    },
    async settled() {
      await running;
    },
    close: () => closed.abort(),
  };
}
