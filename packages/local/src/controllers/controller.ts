import type { Clock, Log, Random } from '@meltemi/base';
import { messageOf } from '@meltemi/base';
import {
  createWorkQueue,
  type InformerHandlers,
  isAlreadyExists,
  isConflict,
  type KubeObject,
  keyText,
  type WorkQueue,
} from '@meltemi/kube';

/** What every controller is given. */
export interface ControllerDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /**
   * Resolves when every informer has seen a complete list, with `false` when that will not happen any more. Work done
   * on half a picture would, for one, take all endpoints of a service away.
   */
  readonly ready: Promise<boolean>;
}

/** Pauses before failed work is tried again. Short at the top too: on one machine a human waits for the retry. */
const BACKOFF = { baseMs: 100, maxMs: 1_000 };

/** Creates the serial queue of a controller; failures are logged, once while they repeat, and tried again. */
export function createControllerQueue(
  name: string,
  work: (key: string) => Promise<void>,
  { clock, random, log, ready }: ControllerDeps,
): WorkQueue {
  const lastFailures = new Map<string, string>();
  return createWorkQueue({
    async work(key) {
      if (!(await ready)) return;
      await work(key);
      lastFailures.delete(key);
    },
    clock,
    random,
    backoff: BACKOFF,
    onError(key, error, retryMs) {
      const message = messageOf(error);
      const fields = { key, retryMs: Math.round(retryMs), error: message };
      // Somebody else wrote first: the normal course of optimistic concurrency.
      if (isConflict(error) || isAlreadyExists(error)) log.debug(`The ${name} controller met a newer version`, fields);
      else if (lastFailures.get(key) === message) log.debug(`The ${name} controller failed again`, fields);
      else log.warn(`The ${name} controller failed; will try again`, fields);
      lastFailures.set(key, message);
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
