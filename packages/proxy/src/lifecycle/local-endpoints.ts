import type { Configuration } from './configuration.ts';

/** Brings the hosts that stand in clusters themselves in line with the wanted clusters; resolved names are kept. */
export function refreshLocalEndpoints(configuration: Configuration): void {
  const { localEndpoints, clusters } = configuration;
  for (const name of localEndpoints.keys()) {
    // An active cluster may still serve from them while its successor warms.
    if (!clusters.wanted.has(name) && !clusters.active.has(name)) localEndpoints.delete(name);
  }
  for (const [name, { compiled }] of clusters.wanted) {
    if (compiled.staticEndpoints !== undefined) localEndpoints.set(name, compiled.staticEndpoints);
  }
}
