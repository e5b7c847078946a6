import type { Clock, ClockTimer } from '@meltemi/base';
import type { CompiledCluster } from '../compile/cluster.ts';
import type { ResourceReference } from '../compile/config-source.ts';
import type { CompiledListener } from '../compile/listener.ts';
import type { Configuration } from './configuration.ts';

/** Decides when a new cluster or listener has all that it needs; until then its former self serves. */
export interface Warming {
  isClusterWarm(cluster: CompiledCluster): boolean;
  isListenerWarm(listener: CompiledListener): boolean;
  close(): void;
}

/** Settings of {@link createWarming}. */
export interface WarmingOptions {
  readonly configuration: Configuration;
  readonly clock: Clock;
  /** A wait ended by its `initial_fetch_timeout`: what waited is warm now, without the resource. */
  readonly onGaveUp: (kind: 'endpoints' | 'routes' | 'secrets', name: string) => void;
}

/** Creates the judge of readiness. Asking about something that waits starts its `initial_fetch_timeout`. */
export function createWarming({ configuration, clock, onGaveUp }: WarmingOptions): Warming {
  const timers = new Map<string, ClockTimer>();
  const gaveUp = new Set<string>();

  const isThere = (kind: 'endpoints' | 'routes' | 'secrets', reference: ResourceReference): boolean => {
    const key = `${kind} ${reference.name}`;
    if (configuration[kind].wanted.has(reference.name)) {
      timers.get(key)?.cancel();
      timers.delete(key);
      gaveUp.delete(key);
      return true;
    }
    if (gaveUp.has(key)) return true;
    if (reference.initialFetchTimeoutMs > 0 && !timers.has(key)) {
      const timer = clock.setTimer(() => {
        timers.delete(key);
        gaveUp.add(key);
        onGaveUp(kind, reference.name);
      }, reference.initialFetchTimeoutMs);
      timers.set(key, timer);
    }
    return false;
  };
  /** Asks about all of them, so that every wait is timed. */
  const areThere = (kind: 'endpoints' | 'routes' | 'secrets', references: readonly ResourceReference[]): boolean =>
    references.filter((reference) => !isThere(kind, reference)).length === 0;

  return {
    isClusterWarm(cluster) {
      const hasEndpoints = cluster.eds === undefined || isThere('endpoints', cluster.eds);
      const isResolved = cluster.dns === undefined || configuration.localEndpoints.has(cluster.runtime.name);
      return areThere('secrets', cluster.secrets) && hasEndpoints && isResolved;
    },
    isListenerWarm(listener) {
      const hasSecrets = areThere('secrets', listener.secrets);
      return areThere('routes', listener.routes) && hasSecrets;
    },
    close() {
      for (const timer of timers.values()) timer.cancel();
      timers.clear();
    },
  };
}
