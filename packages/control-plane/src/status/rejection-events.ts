import type { Clock, createTaskOwner, Log } from '@meltemi/base';
import { type ConfigStore, type RejectedConfig, writeRejectionEvent } from '@meltemi/galley';
import type { KubeClient } from '@meltemi/kube';

/** How long an object waits for what it refers to before an Event says so. */
const LATER_EVENT_MS = 2_000;

/** What {@link tellRejections} works with. */
export interface RejectionEventOptions {
  readonly client: Pick<KubeClient, 'apply'>;
  readonly store: Pick<ConfigStore, 'onReject' | 'stateOf'>;
  /** Every replica refuses an object; the one that leads says so. */
  readonly isLeading: () => boolean;
  /** Whether a namespace is part of the mesh; what is in others is nobody's concern here. */
  readonly discovers: (namespace: string) => boolean;
  readonly tasks: Pick<ReturnType<typeof createTaskOwner>, 'run'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Says by an Event beside each object that is not taken what is wrong with it, until the signal aborts. */
export function tellRejections(options: RejectionEventOptions, signal: AbortSignal): void {
  const { client, store, isLeading, discovers, tasks, clock, log } = options;
  const stopFollowing = store.onReject((rejection, object) => {
    const tell = (): void => {
      if (!isLeading() || !discovers(rejection.key.namespace)) return;
      tasks.run('Writing an Event', () => writeRejectionEvent(rejection, object, { client, clock, log }));
    };
    if (!rejection.isPending && isLeading()) return tell();
    // What it refers to mostly arrives a moment later, and then there is nothing to tell; at the start nobody leads yet.
    clock.setTimer(() => {
      if (!signal.aborted && isStill(store, rejection)) tell();
    }, LATER_EVENT_MS);
  });
  signal.addEventListener('abort', stopFollowing, { once: true });
}

function isStill(store: Pick<ConfigStore, 'stateOf'>, rejection: RejectedConfig): boolean {
  const state = store.stateOf(rejection.key);
  return state.state === 'rejected' && state.rejection === rejection;
}
