import type { Endpoint, EndpointShards, Service, ServiceAttributes } from '@meltemi/model';
import { UNSPECIFIED_ADDRESS } from '@meltemi/model';

/**
 * One service out of what each cluster says about it: the first cluster's ports and attributes, every cluster's virtual
 * addresses, the accounts of all endpoints, the age of the oldest.
 *
 * @param services Of the same namespace and hostname, the config cluster's first; not empty.
 */
export function mergeService(services: readonly Service[], shards: EndpointShards | undefined): Service {
  const first = services[0];
  if (first === undefined) throw new Error('BUG: a service of no cluster cannot be merged');
  const accounts = new Set(services.flatMap((service) => service.serviceAccounts));
  for (const shard of shards?.values() ?? []) {
    for (const { serviceAccount } of shard) if (serviceAccount !== '') accounts.add(serviceAccount);
  }
  const attributes: ServiceAttributes = {
    ...first.attributes,
    creationTimestampMs: Math.min(...services.map((service) => service.attributes.creationTimestampMs)),
  };
  return Object.freeze({
    ...first,
    clusterVIPs: new Map(services.flatMap((service) => [...service.clusterVIPs])),
    defaultAddress:
      services.find((service) => service.defaultAddress !== UNSPECIFIED_ADDRESS)?.defaultAddress ?? UNSPECIFIED_ADDRESS,
    serviceAccounts: [...accounts].toSorted(),
    attributes,
  });
}

/** Whether two clusters disagree about a service's ports, which the first one then decides. */
export function differInPorts(left: Service, right: Service): boolean {
  const portsOf = (service: Service): string =>
    service.ports
      .map(({ name, number, protocol }) => `${number}/${name}/${protocol}`)
      .toSorted()
      .join();
  return portsOf(left) !== portsOf(right);
}

/** Collects the endpoints of each service by cluster. */
export function mergeEndpoints(
  clusters: Iterable<{ readonly clusterId: string; readonly endpoints: ReadonlyMap<string, readonly Endpoint[]> }>,
): ReadonlyMap<string, EndpointShards> {
  const merged = new Map<string, Map<string, readonly Endpoint[]>>();
  for (const { clusterId, endpoints } of clusters) {
    for (const [key, shard] of endpoints) {
      const shards = merged.get(key) ?? new Map<string, readonly Endpoint[]>();
      if (shards.size === 0) merged.set(key, shards);
      shards.set(clusterId, shard);
    }
  }
  return merged;
}
