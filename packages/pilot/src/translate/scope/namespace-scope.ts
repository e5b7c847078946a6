import type { DestinationRuleSpec, PeerAuthenticationSpec, VirtualServiceSpec } from '@meltemi/api';
import { MESH_GATEWAY } from '@meltemi/api';
import {
  type ConfigResource,
  configsOf,
  isHttpProtocol,
  isVisibleTo,
  type Labels,
  type MeshSnapshot,
  resolveShortName,
  resolveVisibility,
  type Service,
  type ServicePort,
} from '@meltemi/model';
import type { TranslationMemo } from '../memo.ts';
import {
  type DestinationRuleIndex,
  findDestinationRules,
  indexDestinationRules,
  type MergedDestinationRule,
  mergeDestinationRules,
} from './destination-rule.ts';
import type { PeerAuthenticationResource } from './peer-authentication.ts';

/** A VirtualService resource. */
export type VirtualServiceResource = ConfigResource<VirtualServiceSpec>;

/** A service together with one of its ports. */
export interface ServiceOnPort {
  readonly service: Service;
  readonly port: ServicePort;
}

/**
 * What the proxies of one namespace may see of a snapshot.
 *
 * The default scope of a mesh without Sidecar resources: every service that is exported to the namespace.
 */
export interface NamespaceScope {
  readonly snapshot: MeshSnapshot;
  readonly namespace: string;
  /** One per hostname, by hostname. */
  readonly services: readonly Service[];
  readonly serviceByHostname: ReadonlyMap<string, Service>;
  /** HTTP and auto-detected ports by number. */
  readonly httpServicesByPort: ReadonlyMap<number, readonly ServiceOnPort[]>;
  /** Of the gateway `mesh`: private ones first, then those exported to the namespace, then public; each oldest first. */
  readonly virtualServices: readonly VirtualServiceResource[];
  /** Of gateways at the edge, in the same order. */
  readonly gatewayVirtualServices: readonly VirtualServiceResource[];
  readonly peerAuthentications: readonly PeerAuthenticationResource[];
  destinationRuleOf(service: Service, labels: Labels): MergedDestinationRule | undefined;
}

/** What a scope is built from. */
export interface NamespaceScopeInput {
  readonly snapshot: MeshSnapshot;
  readonly namespace: string;
  readonly memo: TranslationMemo;
}

/** Builds the scope of a namespace; proxies of one namespace share it. */
export function buildNamespaceScope({ snapshot, namespace, memo }: NamespaceScopeInput): NamespaceScope {
  const services = memo.resolve(visibleServices, namespace, {
    services: snapshot.services,
    namespace,
    defaultExportTo: snapshot.meshConfig.defaultServiceExportTo,
  });
  const index = memo.resolve(indexDestinationRules, '', {
    rules: configsOf<DestinationRuleSpec>(snapshot, 'DestinationRule'),
    domainSuffix: snapshot.domainSuffix,
  });
  const virtualServices = memo.resolve(visibleVirtualServices, namespace, {
    resources: configsOf<VirtualServiceSpec>(snapshot, 'VirtualService'),
    namespace,
    defaultExportTo: snapshot.meshConfig.defaultVirtualServiceExportTo,
  });
  return {
    snapshot,
    namespace,
    services: services.list,
    serviceByHostname: services.byHostname,
    httpServicesByPort: services.httpByPort,
    virtualServices: virtualServices.ofMesh,
    gatewayVirtualServices: virtualServices.ofGateways,
    peerAuthentications: configsOf<PeerAuthenticationSpec>(snapshot, 'PeerAuthentication'),
    destinationRuleOf: createRuleLookup(snapshot, namespace, index, memo),
  };
}

function createRuleLookup(
  snapshot: MeshSnapshot,
  namespace: string,
  index: DestinationRuleIndex,
  memo: TranslationMemo,
): NamespaceScope['destinationRuleOf'] {
  const found = new Map<Service, MergedDestinationRule | undefined>();
  const hasSelectors = [...index.values()].some((hosts) =>
    [...hosts.values()].flat().some((rule) => rule.spec.workloadSelector !== undefined),
  );
  const lookUp = (service: Service, labels: Labels): MergedDestinationRule | undefined => {
    const rules = findDestinationRules({
      index,
      proxyNamespace: namespace,
      proxyLabels: labels,
      rootNamespace: snapshot.rootNamespace,
      defaultExportTo: snapshot.meshConfig.defaultDestinationRuleExportTo,
      service,
    });
    // Through the memo, so that an unchanged merge stays the same object from snapshot to snapshot.
    return rules.length === 0 ? undefined : memo.resolve(mergeDestinationRules, service.hostname, { rules });
  };
  return (service, labels) => {
    if (hasSelectors) return lookUp(service, labels);
    if (!found.has(service)) found.set(service, lookUp(service, labels));
    return found.get(service);
  };
}

interface VisibleServices {
  readonly list: readonly Service[];
  readonly byHostname: ReadonlyMap<string, Service>;
  readonly httpByPort: ReadonlyMap<number, readonly ServiceOnPort[]>;
}

function visibleServices(input: {
  readonly services: readonly Service[];
  readonly namespace: string;
  readonly defaultExportTo: readonly string[];
}): VisibleServices {
  const { namespace } = input;
  const byHostname = new Map<string, Service>();
  for (const service of input.services) {
    if (service.resolution === 'Alias') continue;
    const visibility = resolveVisibility(service.exportTo, service.namespace, input.defaultExportTo);
    if (service.namespace !== namespace && !isVisibleTo(visibility, namespace)) continue;
    const known = byHostname.get(service.hostname);
    if (known === undefined || isPreferred(service, known, namespace)) byHostname.set(service.hostname, service);
  }
  const list = [...byHostname.values()].sort((left, right) => (left.hostname < right.hostname ? -1 : 1));
  const httpByPort = new Map<number, ServiceOnPort[]>();
  for (const service of list) {
    for (const port of service.ports) {
      if (!isHttpProtocol(port.protocol) && port.protocol !== 'auto') continue;
      const entries = httpByPort.get(port.number);
      if (entries === undefined) httpByPort.set(port.number, [{ service, port }]);
      else entries.push({ service, port });
    }
  }
  return { list, byHostname, httpByPort };
}

/** Whether a service takes the place of an older one with the same hostname: own namespace, then Kubernetes, then age. */
function isPreferred(service: Service, known: Service, namespace: string): boolean {
  const rank = (candidate: Service): number =>
    (candidate.namespace === namespace ? 0 : 2) + (candidate.attributes.registry === 'Kubernetes' ? 0 : 1);
  return rank(service) < rank(known);
}

function visibleVirtualServices(input: {
  readonly resources: readonly VirtualServiceResource[];
  readonly namespace: string;
  readonly defaultExportTo: readonly string[];
}): { readonly ofMesh: readonly VirtualServiceResource[]; readonly ofGateways: readonly VirtualServiceResource[] } {
  const groups: [VirtualServiceResource[], VirtualServiceResource[], VirtualServiceResource[]] = [[], [], []];
  for (const resource of input.resources) {
    if ((resource.spec.hosts ?? []).length === 0) continue;
    const visibility = resolveVisibility(resource.spec.exportTo, resource.namespace, input.defaultExportTo);
    if (visibility.scope === 'public') groups[2].push(resource);
    else if (visibility.scope === 'none' || !visibility.namespaces.has(input.namespace)) continue;
    else groups[visibility.namespaces.size === 1 && resource.namespace === input.namespace ? 0 : 1].push(resource);
  }
  const visible = groups.flat();
  return { ofMesh: visible.filter(isForMesh), ofGateways: visible.filter(isForGateways) };
}

function isForGateways({ spec }: VirtualServiceResource): boolean {
  return (spec.gateways ?? []).some((gateway) => gateway !== MESH_GATEWAY);
}

function isForMesh(resource: VirtualServiceResource): boolean {
  const ofMatches = (resource.spec.http ?? []).some((route) =>
    (route.match ?? []).some((match) => match.gateways?.includes(MESH_GATEWAY) === true),
  );
  return ofMatches || (resource.spec.gateways ?? [MESH_GATEWAY]).includes(MESH_GATEWAY);
}

/** The hosts of a VirtualService, completed. */
export function virtualServiceHosts(resource: VirtualServiceResource, domainSuffix: string): readonly string[] {
  return (resource.spec.hosts ?? []).map((host) => resolveShortName(host, resource.namespace, domainSuffix));
}
