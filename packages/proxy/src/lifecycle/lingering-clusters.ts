import type { Clock, ClockTimer } from '@meltemi/base';
import { collectClusterReferences } from './cluster-references.ts';
import type { Configuration } from './configuration.ts';

/**
 * Keeps removed clusters serving until no route in use points at them: control planes send removals of clusters before
 * the routes that no longer need them, and requests in between would find no cluster.
 */
export interface LingeringClusters {
  /** Whether a cluster that is wanted no more may go. Asked after routes and listeners were taken over. */
  mayRemove(name: string): boolean;
  close(): void;
}

/** How long a cluster lingers at most: a route that still points at it then is the user's mistake, and must show. */
export const LINGER_MS = 5000;

/** @param onExpired A cluster's time is over: publish again. */
export function createLingeringClusters(
  configuration: Configuration,
  clock: Clock,
  onExpired: () => void,
): LingeringClusters {
  const timers = new Map<string, ClockTimer>();
  const expired = new Set<string>();

  const forget = (name: string): void => {
    timers.get(name)?.cancel();
    timers.delete(name);
    expired.delete(name);
  };

  return {
    mayRemove(name) {
      if (expired.has(name) || !collectClusterReferences(configuration).has(name)) {
        forget(name);
        return true;
      }
      if (!timers.has(name)) {
        const timer = clock.setTimer(() => {
          timers.delete(name);
          // Wanted again in the meantime: nothing lingers.
          if (configuration.clusters.wanted.has(name)) return;
          expired.add(name);
          onExpired();
        }, LINGER_MS);
        timers.set(name, timer);
      }
      return false;
    },
    close() {
      for (const timer of timers.values()) timer.cancel();
      timers.clear();
    },
  };
}
