import type { Informer, KubeObject } from '@meltemi/kube';
import type { Endpoint, Service, Workload } from '@meltemi/model';

/** What changed in a cluster. */
export interface RegistryChange {
  readonly clusterId: string;
  /** `endpoints`: only where a service is served; `full`: anything else, so that routes may look different. */
  readonly scope: 'endpoints' | 'full';
  /** `serviceKey` of the service, when one can be named. */
  readonly serviceKey?: string | undefined;
}

/** Services, endpoints and workloads of one cluster, kept up to date. */
export interface ClusterRegistry {
  readonly clusterId: string;
  /** Begins to follow the cluster; resolves when everything has been read once, or when the signal aborts. */
  start(signal: AbortSignal): Promise<void>;
  readonly hasSynced: boolean;
  /** For states and ages; their stores are not to be written. */
  readonly informers: readonly Pick<
    Informer<KubeObject>,
    'ref' | 'state' | 'hasSynced' | 'lastActivityMs' | 'lastError'
  >[];
  /** What remains unknown of the cluster, because its credentials do not allow more. */
  readonly limits: readonly string[];
  /** By `serviceKey`. Unchanged members keep their identity. */
  services(): ReadonlyMap<string, Service>;
  /** By `serviceKey`. Unchanged members keep their identity. */
  endpoints(): ReadonlyMap<string, readonly Endpoint[]>;
  workloads(): readonly Workload[];
  /** Version of the kubelet of each node, such as `v1.33.0`. */
  kubeletVersions(): readonly string[];
  /** Annotations of a namespace; `undefined` when there is none of the name, or it may not be read. */
  namespaceAnnotations(namespace: string): Readonly<Record<string, string>> | undefined;
  /** Whether what is in a namespace is part of the mesh. */
  discovers(namespace: string): boolean;
  /** Converts everything anew, after a mesh-wide setting changed. */
  invalidate(): void;
  onChange(listener: (change: RegistryChange) => void): () => void;
}
