import type { Clock, Log, Random } from '@meltemi/base';
import { messageOf } from '@meltemi/base';
import {
  type InformerHandlers,
  type KubeObject,
  type WorkQueue,
  createWorkQueue,
  isConflict,
  keyText,
} from '@meltemi/kube';

/** What every controller is given. */
export interface ControllerDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Pauses before failed work is tried again. Short at the top too: on one machine a human waits for the retry. */
const BACKOFF = { baseMs: 100, maxMs: 5_000 };

/** Creates the serial queue of a controller; failures are logged and tried again. */
export function createControllerQueue(
  name: string,
  work: (key: string) => Promise<void>,
  { clock, random, log }: ControllerDeps,
): WorkQueue {
  return createWorkQueue({
    work,
    clock,
    random,
    backoff: BACKOFF,
    onError(key, error, retryMs) {
      const fields = { key, retryMs: Math.round(retryMs), error: messageOf(error) };
      // Somebody else wrote first: the normal course of optimistic concurrency.
      if (isConflict(error)) log.debug(`The ${name} controller met a newer version`, fields);
      else log.warn(`The ${name} controller failed; will try again`, fields);
    },
  });
}

/** Handlers that call the same function with each object that changed, old and new. */
export function onAnyChange<Kind extends KubeObject>(changed: (object: Kind) => void): InformerHandlers<Kind> {
  return {
    onAdd: changed,
    onUpdate(object, previous) {
      changed(previous);
      changed(object);
    },
    onDelete: changed,
  };
}

/** Handlers that put the key of each changed object into a queue. */
export function enqueueSelf(queue: Pick<WorkQueue, 'add'>): InformerHandlers<KubeObject> {
  return onAnyChange(({ metadata }) => queue.add(keyText(metadata)));
}
