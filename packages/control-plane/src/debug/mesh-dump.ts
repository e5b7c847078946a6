import type { ConfigStore } from '@meltemi/galley';
import { type MeshSnapshot, serviceKey } from '@meltemi/model';

/** Whether something is asked for. */
type IsWanted = (object: { readonly namespace: string }) => boolean;

/** Every resource in force, and every version that was not taken. */
export function describeConfigs(store: Pick<ConfigStore, 'list' | 'rejections'>, isWanted: IsWanted): unknown {
  return { accepted: store.list().filter(isWanted), rejected: store.rejections().filter(({ key }) => isWanted(key)) };
}

/** The merged services. */
export function describeServices(snapshot: MeshSnapshot | undefined, isWanted: IsWanted): unknown {
  return (snapshot?.services ?? []).filter(isWanted).map((service) => ({
    ...service,
    clusterVIPs: Object.fromEntries(service.clusterVIPs),
  }));
}

/** The endpoints of each service, by cluster. */
export function describeEndpoints(snapshot: MeshSnapshot | undefined, isWanted: IsWanted): unknown {
  return (snapshot?.services ?? []).filter(isWanted).map((service) => ({
    service: serviceKey(service),
    clusters: Object.fromEntries(
      [...(snapshot?.endpoints.get(serviceKey(service)) ?? [])].map(([cluster, endpoints]) => [
        cluster,
        endpoints.map((endpoint) => ({ ...endpoint, ports: Object.fromEntries(endpoint.ports) })),
      ]),
    ),
  }));
}

/** Networks by name, empty for the one without; with the clusters and the number of workloads that are on each. */
export function describeNetworks(snapshot: MeshSnapshot | undefined): unknown {
  const networks = new Map<string, { clusters: Set<string>; workloadCount: number }>();
  // A workload is there once for each of its addresses.
  for (const { network, clusterId } of new Set(snapshot?.workloadsByAddress.values())) {
    const known = networks.get(network) ?? { clusters: new Set(), workloadCount: 0 };
    known.clusters.add(clusterId);
    known.workloadCount++;
    networks.set(network, known);
  }
  return [...networks].map(([network, { clusters, workloadCount }]) => ({
    network,
    clusters: [...clusters],
    workloadCount,
    gateways: snapshot?.networkGateways.filter((gateway) => gateway.network === network) ?? [],
  }));
}
