import type { ConfigStore } from '@meltemi/galley';
import { type MeshSnapshot, serviceKey } from '@meltemi/model';

/** Every resource in force, and every version that was not taken. */
export function describeConfigs(store: Pick<ConfigStore, 'list' | 'rejections'>): unknown {
  return { accepted: store.list(), rejected: store.rejections() };
}

/** The merged services. */
export function describeServices(snapshot: MeshSnapshot | undefined): unknown {
  return (snapshot?.services ?? []).map((service) => ({
    ...service,
    clusterVIPs: Object.fromEntries(service.clusterVIPs),
  }));
}

/** The endpoints of each service, by cluster. */
export function describeEndpoints(snapshot: MeshSnapshot | undefined): unknown {
  return (snapshot?.services ?? []).map((service) => ({
    service: serviceKey(service),
    clusters: Object.fromEntries(
      [...(snapshot?.endpoints.get(serviceKey(service)) ?? [])].map(([cluster, endpoints]) => [
        cluster,
        endpoints.map((endpoint) => ({ ...endpoint, ports: Object.fromEntries(endpoint.ports) })),
      ]),
    ),
  }));
}
