import type { DestinationRuleSpec, VirtualServiceSpec } from '@meltemi/api';
import {
  addressKey,
  configKey,
  configsOf,
  type MeshSnapshot,
  matchHosts,
  resolveShortName,
  type Service,
  type SnapshotChange,
  serviceKey,
} from '@meltemi/model';
import { type DirtyNames, TYPE_URLS } from '@meltemi/xds';
import { outboundClusterName } from '../translate/names.ts';
import type { ProxyNode } from '../translate/proxy-node.ts';

/** What a change may touch, for every proxy and for the proxy at one address. */
export interface ChangeScope {
  /** Types and names that may differ for any proxy. */
  readonly everybody: ReadonlyMap<string, DirtyNames>;
  /** Whether the proxy's own workload changed: which services it is behind, or its labels. */
  touchesWorkload(node: ProxyNode): boolean;
}

const { cluster: CDS, endpoint: EDS, listener: LDS, route: RDS, nameTable: NDS, proxyConfig: PCDS } = TYPE_URLS;

/** Which types a change of a kind can alter; kinds that are not listed alter none. */
const TYPES_BY_KIND: Readonly<Record<string, readonly string[]>> = {
  DestinationRule: [CDS, EDS, LDS, RDS],
  Gateway: [LDS, RDS],
  PeerAuthentication: [CDS, EDS, LDS],
};

/** Types that say what a proxy's own workload is like. */
export const WORKLOAD_TYPES: readonly string[] = [CDS, EDS, LDS, RDS, NDS];

/**
 * Narrows a change down to types and names.
 *
 * Only an upper bound: what is named here is compared with what each proxy has, and equal content is not sent.
 */
export function resolveChangeScope(change: SnapshotChange, previous: MeshSnapshot, next: MeshSnapshot): ChangeScope {
  const dirty = new Map<string, DirtyNames>();
  const markAll = (types: readonly string[]): void => {
    for (const typeUrl of types) dirty.set(typeUrl, 'all');
  };
  if (change.global || change.services.size > 0) markAll([CDS, EDS, LDS, RDS, NDS]);
  if (change.trust) markAll([PCDS]);
  for (const key of change.configs) markAll(typesOfConfig(key, previous, next));
  if (change.endpoints.size > 0) {
    if (dirty.get(EDS) !== 'all') dirty.set(EDS, endpointNames(change, next));
    // Each pod of a headless service has a listener of its own, and its address is what the service's name stands for.
    if (
      next.services.some((service) => service.resolution === 'Passthrough' && change.endpoints.has(serviceKey(service)))
    )
      markAll([LDS, NDS]);
  }
  return {
    everybody: dirty,
    touchesWorkload: ({ clusterId, addresses }) =>
      addresses.some((address) => change.addresses.has(addressKey(clusterId, address))),
  };
}

function typesOfConfig(key: string, previous: MeshSnapshot, next: MeshSnapshot): readonly string[] {
  const [kind = ''] = key.split('/', 1);
  if (kind !== 'VirtualService') return TYPES_BY_KIND[kind] ?? [];
  const hasL4 = [previous, next].some((snapshot) =>
    configsOf<VirtualServiceSpec>(snapshot, kind).some(
      (resource) =>
        configKey(resource) === key && (resource.spec.tcp?.length ?? 0) + (resource.spec.tls?.length ?? 0) > 0,
    ),
  );
  return hasL4 ? [LDS, RDS] : [RDS];
}

/** The clusters, with all subsets that any rule gives them, of services whose endpoints changed. */
function endpointNames(change: SnapshotChange, snapshot: MeshSnapshot): ReadonlySet<string> {
  const names = new Set<string>();
  const rules = configsOf<DestinationRuleSpec>(snapshot, 'DestinationRule');
  for (const service of snapshot.services) {
    if (!change.endpoints.has(serviceKey(service))) continue;
    const subsets = new Set(['']);
    for (const { spec, namespace } of rules) {
      const host = resolveShortName(spec.host, namespace, snapshot.domainSuffix);
      if (matchHosts(host, service.hostname)) for (const subset of spec.subsets ?? []) subsets.add(subset.name);
    }
    addClusterNames(names, service, subsets);
  }
  return names;
}

function addClusterNames(names: Set<string>, service: Service, subsets: ReadonlySet<string>): void {
  for (const port of service.ports) {
    for (const subset of subsets)
      names.add(outboundClusterName({ port: port.number, subset, hostname: service.hostname }));
  }
}
