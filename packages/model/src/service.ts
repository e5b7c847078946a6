import type { Labels } from './labels.ts';
import type { Protocol } from './protocol.ts';

/**
 * How a service's endpoints are found.
 *
 * `ClientSideLB` from the registry (EDS); `Passthrough` the address that the client dialled; `DNS`, `DNSRoundRobin` and
 * `DynamicDns` by resolving names; `Alias` another service's (ExternalName).
 */
export type Resolution = 'ClientSideLB' | 'Passthrough' | 'DNS' | 'DNSRoundRobin' | 'DynamicDns' | 'Alias';

/** One port of a service. */
export interface ServicePort {
  readonly name: string;
  /** The service's port, not the pod's. */
  readonly number: number;
  readonly protocol: Protocol;
}

/** Which kind of registry a service came from; Kubernetes wins over the others within one namespace. */
export type RegistryKind = 'Kubernetes' | 'External' | 'Consul' | 'File';

/** What is known about a service beyond its name and ports. */
export interface ServiceAttributes {
  readonly registry: RegistryKind;
  readonly labels: Labels;
  /** The name that an ExternalName service stands for. */
  readonly externalName?: string | undefined;
  /** `PreferClose`, `PreferSameZone`, `PreferSameNode`. */
  readonly trafficDistribution?: string | undefined;
  readonly internalTrafficPolicy?: 'Cluster' | 'Local' | undefined;
  readonly publishNotReadyAddresses?: boolean | undefined;
  /** Unix milliseconds; the oldest of the clusters that have it. */
  readonly creationTimestampMs: number;
  /** `<kind>/<namespace>/<name>` of the object that it was made from. */
  readonly sourceKey: string;
}

/** A service of the mesh, merged over all clusters. Frozen; a change makes a new object. */
export interface Service {
  readonly hostname: string;
  readonly namespace: string;
  readonly name: string;
  /** Virtual addresses by cluster id. */
  readonly clusterVIPs: ReadonlyMap<string, readonly string[]>;
  /** Used where a cluster has no address of its own; `0.0.0.0` for headless services. */
  readonly defaultAddress: string;
  readonly ports: readonly ServicePort[];
  readonly resolution: Resolution;
  /** Outside the mesh: no mTLS, no workload metadata. */
  readonly meshExternal: boolean;
  /** `*`, `.`, `~` or namespace names; empty for the mesh's default. */
  readonly exportTo: readonly string[];
  /** SPIFFE IDs of the workloads behind it, sorted, over all clusters. */
  readonly serviceAccounts: readonly string[];
  readonly attributes: ServiceAttributes;
}

/** Identifies a service: two namespaces may define the same hostname. */
export function serviceKey(service: Pick<Service, 'namespace' | 'hostname'>): string {
  return `${service.namespace}/${service.hostname}`;
}

/** The address that means "no virtual address". */
export const UNSPECIFIED_ADDRESS = '0.0.0.0';

/** The addresses by which proxies of a cluster reach a service; `defaultAddress` where the cluster has none. */
export function serviceAddresses(service: Service, clusterId: string): readonly string[] {
  const own = service.clusterVIPs.get(clusterId);
  return own !== undefined && own.length > 0 ? own : [service.defaultAddress];
}

/** A service without a virtual address: each endpoint is called by its own. */
export function isHeadless(service: Service): boolean {
  return service.resolution === 'Passthrough';
}
