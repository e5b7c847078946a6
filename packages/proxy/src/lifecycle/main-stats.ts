/** Counters and gauges of the main thread: managers, discovery, the server. */
export interface MainStats {
  increment(name: string, by?: number): void;
  /** A gauge that is read when it is asked for. */
  gauge(name: string, read: () => number): void;
  counters(): ReadonlyMap<string, number>;
  gauges(): ReadonlyMap<string, number>;
  resetCounters(): void;
}

/** @param declared Counters that exist with value 0 from the beginning, as readers look for them. */
export function createMainStats(declared: readonly string[]): MainStats {
  const counters = new Map<string, number>(declared.map((name) => [name, 0]));
  const gauges = new Map<string, () => number>();
  return {
    increment: (name, by = 1) => void counters.set(name, (counters.get(name) ?? 0) + by),
    gauge: (name, read) => void gauges.set(name, read),
    counters: () => counters,
    gauges: () => new Map([...gauges].map(([name, read]) => [name, read()])),
    resetCounters: () => {
      for (const name of counters.keys()) counters.set(name, 0);
    },
  };
}

/** Counters that Envoy has from its start; readiness checks of agents look for the update counters. */
export const DECLARED_COUNTERS: readonly string[] = [
  ...['cluster_manager.cds', 'listener_manager.lds'].flatMap((prefix) =>
    ['init_fetch_timeout', 'update_attempt', 'update_failure', 'update_rejected', 'update_success'].map(
      (name) => `${prefix}.${name}`,
    ),
  ),
  'cluster_manager.cluster_added',
  'cluster_manager.cluster_modified',
  'cluster_manager.cluster_removed',
  'listener_manager.listener_added',
  'listener_manager.listener_create_failure',
  'listener_manager.listener_create_success',
  'listener_manager.listener_modified',
  'listener_manager.listener_removed',
  'server.static_unknown_fields',
  'server.dynamic_unknown_fields',
];
