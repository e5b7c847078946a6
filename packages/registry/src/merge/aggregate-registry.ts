import type { Log } from '@meltemi/base';
import type { EndpointShards, Service, Workload } from '@meltemi/model';
import type { ClusterRegistry, RegistryChange } from '../cluster-registry.ts';
import { differInPorts, mergeEndpoints, mergeService } from './merge-services.ts';

/** What all clusters together contribute to a snapshot of the mesh. */
export interface RegistryInputs {
  readonly services: readonly Service[];
  /** By `serviceKey`, then by cluster. */
  readonly endpoints: ReadonlyMap<string, EndpointShards>;
  readonly workloads: readonly Workload[];
}

/** The registries of all clusters as one: the same hostname in the same namespace is one service everywhere. */
export interface AggregateRegistry {
  /** Adds a cluster's registry, or puts it in the place of the one that the cluster has. The first one added decides ties. */
  set(registry: ClusterRegistry): void;
  /** Takes a cluster out, with all its services and endpoints. */
  remove(clusterId: string): void;
  readonly clusterIds: readonly string[];
  /** @returns The kubelets' versions in a cluster; none for a cluster that is not here. */
  kubeletVersions(clusterId: string): readonly string[];
  /** @returns Annotations of a namespace of a cluster; `undefined` while it is not known. */
  namespaceAnnotations(clusterId: string, namespace: string): Readonly<Record<string, string>> | undefined;
  inputs(): RegistryInputs;
  invalidate(): void;
  onChange(listener: (change: RegistryChange) => void): () => void;
}

/** Creates an aggregate of no clusters. */
export function createAggregateRegistry({ log }: { readonly log: Log }): AggregateRegistry {
  const members = new Map<string, { readonly registry: ClusterRegistry; readonly unsubscribe: () => void }>();
  const listeners = new Set<(change: RegistryChange) => void>();
  /** Services whose clusters disagree about ports, so that it is said once. */
  const conflicting = new Set<string>();
  const emit = (change: RegistryChange): void => {
    log.debug('Cluster changed', { cluster: change.clusterId, change: change.scope, service: change.serviceKey ?? '' });
    for (const listener of listeners) listener(change);
  };

  const reportConflict = (key: string, services: readonly Service[]): void => {
    const first = services[0] as Service;
    const isConflict = services.slice(1).some((service) => differInPorts(first, service));
    if (!isConflict) conflicting.delete(key);
    else if (!conflicting.has(key)) {
      conflicting.add(key);
      log.warn('The ports of a service differ between clusters; those of the first cluster count', { service: key });
    }
  };

  return {
    set(registry) {
      members.get(registry.clusterId)?.unsubscribe();
      // Replacing keeps the place in the order, which decides ties.
      members.set(registry.clusterId, { registry, unsubscribe: registry.onChange(emit) });
      emit({ clusterId: registry.clusterId, scope: 'full' });
    },
    remove(clusterId) {
      const member = members.get(clusterId);
      if (member === undefined) return;
      member.unsubscribe();
      members.delete(clusterId);
      emit({ clusterId, scope: 'full' });
    },
    get clusterIds() {
      return [...members.keys()];
    },
    kubeletVersions: (clusterId) => members.get(clusterId)?.registry.kubeletVersions() ?? [],
    namespaceAnnotations: (clusterId, namespace) => members.get(clusterId)?.registry.namespaceAnnotations(namespace),
    inputs() {
      const registries = [...members.values()].map(({ registry }) => registry);
      const endpoints = mergeEndpoints(
        registries.map((registry) => ({ clusterId: registry.clusterId, endpoints: registry.endpoints() })),
      );
      const byKey = new Map<string, Service[]>();
      for (const registry of registries) {
        for (const [key, service] of registry.services()) {
          const list = byKey.get(key);
          if (list === undefined) byKey.set(key, [service]);
          else list.push(service);
        }
      }
      const services = [...byKey].map(([key, list]) => {
        reportConflict(key, list);
        return mergeService(list, endpoints.get(key));
      });
      return { services, endpoints, workloads: registries.flatMap((registry) => registry.workloads()) };
    },
    invalidate() {
      for (const { registry } of members.values()) registry.invalidate();
    },
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
