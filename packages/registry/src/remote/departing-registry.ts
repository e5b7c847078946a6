import type { ClusterRegistry } from '../cluster-registry.ts';

/**
 * A cluster that leaves the mesh, as it was last seen: nobody is sent to its endpoints any more, and their own sidecars, which
 * are still connected, go on serving those who have not heard of it yet.
 */
export function createDepartingRegistry(registry: ClusterRegistry): ClusterRegistry {
  const services = new Map(registry.services());
  const workloads = [...registry.workloads()];
  const endpoints = new Map(
    [...registry.endpoints()].map(([key, list]) => [
      key,
      list.map((endpoint) => ({ ...endpoint, health: 'terminating' as const })),
    ]),
  );
  return {
    clusterId: registry.clusterId,
    hasSynced: true,
    informers: [],
    limits: [],
    start: () => Promise.resolve(),
    services: () => services,
    endpoints: () => endpoints,
    workloads: () => workloads,
    kubeletVersions: () => registry.kubeletVersions(),
    namespaceAnnotations: (namespace) => registry.namespaceAnnotations(namespace),
    discovers: (namespace) => registry.discovers(namespace),
    invalidate() {},
    onChange: () => () => {},
  };
}
