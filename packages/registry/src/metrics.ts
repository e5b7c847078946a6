import { Counter, Gauge, type Registry } from 'prom-client';

/** What is counted about clusters. */
export interface RegistryMetrics {
  managedClusters(type: 'local' | 'remote', count: number): void;
  /** Clusters that remote secrets name and that are not taken. */
  refusedClusters(count: number): void;
  /** One-hot: exactly one status of a cluster is on. */
  syncStatus(cluster: string, type: 'local' | 'remote', status: string, on: boolean): void;
  forgetCluster(cluster: string): void;
  secretEvent(event: 'add' | 'update' | 'delete'): void;
  syncTimedOut(cluster: string): void;
}

/** Declares the metrics in a registry, by Istio's names. */
export function createRegistryMetrics(registry: Registry): RegistryMetrics {
  const registers = [registry];
  const managed = new Gauge({
    name: 'istiod_managed_clusters',
    help: 'Clusters that the control plane follows',
    labelNames: ['cluster_type'],
    registers,
  });
  const refused = new Gauge({
    name: 'meltemi_remote_clusters_refused',
    help: 'Clusters that remote secrets name and that are not taken',
    registers,
  });
  const status = new Gauge({
    name: 'istiod_remote_cluster_sync_status',
    help: 'Status of each remote cluster: 1 for the one it is in',
    labelNames: ['cluster', 'cluster_type', 'status'],
    registers,
  });
  const events = new Counter({
    name: 'remote_cluster_secret_events_total',
    help: 'Events of remote secrets',
    labelNames: ['event'],
    registers,
  });
  const timeouts = new Counter({
    name: 'remote_cluster_sync_timeouts_total',
    help: 'Remote clusters that were not read in time',
    labelNames: ['cluster'],
    registers,
  });
  const statuses = new Map<string, Set<string>>();
  return {
    managedClusters: (type, count) => managed.set({ cluster_type: type }, count),
    refusedClusters: (count) => refused.set(count),
    syncStatus(cluster, type, name, on) {
      statuses.set(cluster, (statuses.get(cluster) ?? new Set()).add(name));
      status.set({ cluster, cluster_type: type, status: name }, on ? 1 : 0);
    },
    forgetCluster(cluster) {
      for (const name of statuses.get(cluster) ?? []) status.remove({ cluster, cluster_type: 'remote', status: name });
      statuses.delete(cluster);
    },
    secretEvent: (event) => events.inc({ event }),
    syncTimedOut: (cluster) => timeouts.inc({ cluster }),
  };
}
