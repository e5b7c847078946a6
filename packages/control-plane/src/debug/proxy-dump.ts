import type { MeshSnapshot, ServiceInstance } from '@meltemi/model';
import { addressKey } from '@meltemi/model';
import { buildProxyNode, createTranslationMemo, type ProxyTranslation, translateProxy } from '@meltemi/pilot';
import type { DiscoveryNode, DiscoveryStreamStatus } from '@meltemi/xds/server';

/** One resource that a proxy is to have, and what it was made from. */
export interface DumpedResource {
  readonly name: string;
  readonly sources: readonly { readonly resourceKey: string; readonly fieldPath: string }[];
}

/** The resources that a proxy is to have, by type, each with its sources. */
export function dumpProxy(translation: ProxyTranslation): Readonly<Record<string, readonly DumpedResource[]>> {
  const list = (resources: readonly DumpedResource[]): readonly DumpedResource[] =>
    resources.map(({ name, sources }) => ({ name, sources }));
  return {
    clusters: list(translation.clusters()),
    listeners: list(translation.listeners()),
    routes: list(translation.routes()),
    endpoints: list(translation.endpoints()),
  };
}

/** A snapshot as a connected proxy is to see it. */
export function translateFor(node: DiscoveryNode, snapshot: MeshSnapshot): ProxyTranslation {
  return translateProxy({ snapshot, node: buildProxyNode(node, snapshot), memo: createTranslationMemo() });
}

/** The services that each connected proxy's workload is behind, by proxy. */
export function describeInstances(
  statuses: readonly DiscoveryStreamStatus[],
  snapshot: MeshSnapshot | undefined,
): unknown {
  return statuses.map(({ client: { node } }) => {
    const instances: readonly ServiceInstance[] =
      snapshot?.instancesByAddress.get(addressKey(node.clusterId, node.ip)) ?? [];
    return {
      proxy: node.proxyId,
      cluster: node.clusterId,
      instances: instances.map(({ service, endpoint }) => ({
        service: `${service.namespace}/${service.hostname}`,
        address: endpoint.address,
        ports: Object.fromEntries(endpoint.ports),
        health: endpoint.health,
      })),
    };
  });
}
