/** Metadata by filter name, as `filter_metadata` in JSON. */
export type RuntimeMetadata = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** Where a host listens. */
export type RuntimeHostAddress =
  | { readonly kind: 'tcp'; readonly address: string; readonly port: number }
  | { readonly kind: 'pipe'; readonly path: string };

/** The discovery's opinion of a host: `unhealthy` and `draining` hosts get no requests except in panic (`draining` never). */
export type RuntimeHostHealth = 'healthy' | 'degraded' | 'unhealthy' | 'draining';

/** One upstream host. */
export interface RuntimeHost {
  readonly address: RuntimeHostAddress;
  /** For `autoHostSni`, automatic host rewriting and logs; empty when unknown. */
  readonly hostname: string;
  /** Integer >= 1, default 1. */
  readonly weight: number;
  readonly health: RuntimeHostHealth;
  /** Used here: `envoy.transport_socket_match`, `envoy.lb`, `istio.workload`. */
  readonly metadata: RuntimeMetadata;
}

/** The hosts of one place and priority. */
export interface RuntimeLocality {
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
  /** 0 is the first choice. */
  readonly priority: number;
  /** Counts only in clusters with `localityWeighted`; undefined is no load. */
  readonly weight: number | undefined;
  readonly hosts: readonly RuntimeHost[];
}

/**
 * The hosts of a cluster: from EDS, from a static load assignment, or from DNS that the main thread resolved. Clusters find
 * theirs by `endpointsName`.
 */
export interface RuntimeEndpoints {
  readonly name: string;
  /** Default 140. */
  readonly overprovisioningPercent: number;
  readonly localities: readonly RuntimeLocality[];
}
