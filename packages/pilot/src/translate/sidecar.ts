import type { HTTPRoute } from '@meltemi/api';
import {
  isHttpProtocol,
  type MeshSnapshot,
  matchHosts,
  resolveShortName,
  type Service,
  serviceKey,
} from '@meltemi/model';
import type { Cluster } from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import type { ClusterLoadAssignment } from '@meltemi/xds/types/envoy/config/endpoint/v3/endpoint_pb.js';
import type { Listener } from '@meltemi/xds/types/envoy/config/listener/v3/listener_pb.js';
import type { RouteConfiguration } from '@meltemi/xds/types/envoy/config/route/v3/route_pb.js';
import { buildFixedClusters } from './clusters/fixed-clusters.ts';
import { buildInboundCluster } from './clusters/inbound-cluster.ts';
import { isPassthroughBalancing } from './clusters/load-balancer.ts';
import { buildOutboundCluster } from './clusters/outbound-cluster.ts';
import { hasAutoMtls } from './clusters/upstream-tls.ts';
import { buildLoadAssignment } from './endpoints/load-assignment.ts';
import { resolveInboundPorts, serviceInstancesOf } from './inbound-ports.ts';
import { buildOutboundListeners } from './listeners/outbound-listeners.ts';
import { buildVirtualInbound, type InboundPort } from './listeners/virtual-inbound.ts';
import { buildVirtualOutbound } from './listeners/virtual-outbound.ts';
import type { TranslationMemo } from './memo.ts';
import { outboundClusterName, parseOutboundClusterName, VIRTUAL_INBOUND, VIRTUAL_OUTBOUND } from './names.ts';
import { featuresKey, type ProxyNode } from './proxy-node.ts';
import type { RouteDestinationHost } from './routes/http-routes.ts';
import { buildRouteConfiguration, servicesOf } from './routes/route-configuration.ts';
import { isClusterLocal } from './scope/cluster-local.ts';
import type { MergedDestinationRule } from './scope/destination-rule.ts';
import {
  buildNamespaceScope,
  type NamespaceScope,
  type VirtualServiceResource,
  virtualServiceHosts,
} from './scope/namespace-scope.ts';
import { resolveNamespaceMtls, resolveWorkloadMtls, type WorkloadMtls } from './scope/peer-authentication.ts';
import { resolveTrafficPolicy } from './scope/traffic-policy.ts';
import type { Translated } from './translated.ts';

/** A snapshot as one sidecar is to see it. Every method is a pure function of (snapshot, node), remembered by the memo. */
export interface SidecarTranslation {
  clusters(): readonly Translated<Cluster>[];
  /** @param names Cluster names; all of the proxy's when absent. Unknown names are left out. */
  endpoints(names?: Iterable<string>): readonly Translated<ClusterLoadAssignment>[];
  listeners(): readonly Translated<Listener>[];
  /** @param names Names of route configurations; all that listeners refer to when absent. */
  routes(names?: Iterable<string>): readonly Translated<RouteConfiguration>[];
}

/** What a sidecar's resources are made from. */
export interface SidecarInput {
  readonly snapshot: MeshSnapshot;
  readonly node: ProxyNode;
  readonly memo: TranslationMemo;
}

/** Prepares the translation for one sidecar; resources are made when they are asked for. */
export function translateSidecar({ snapshot, node, memo }: SidecarInput): SidecarTranslation {
  const { namespace } = node;
  const scope = memo.resolve(buildNamespaceScope, namespace, { snapshot, namespace, memo });
  const context: Context = { scope, node, memo };
  return {
    clusters: () => [...outboundClusters(context), ...inboundClusters(context), ...fixedClusters(context)],
    endpoints: (names) => [...(names ?? endpointNames(context))].flatMap((name) => endpointsOf(context, name) ?? []),
    listeners: () => listeners(context),
    routes: (names) => [...(names ?? routeNames(context))].flatMap((name) => routesOf(context, name) ?? []),
  };
}

interface Context {
  readonly scope: NamespaceScope;
  readonly node: ProxyNode;
  readonly memo: TranslationMemo;
}

function* outboundTargets({ scope, node }: Context) {
  for (const service of scope.services) {
    const rule = scope.destinationRuleOf(service, node.labels);
    for (const port of service.ports) {
      if (port.protocol === 'udp') continue;
      yield { service, port, rule, subset: undefined };
      for (const subset of rule?.subsets ?? []) yield { service, port, rule, subset };
    }
  }
}

function outboundClusters(context: Context): Translated<Cluster>[] {
  const { scope, memo } = context;
  return [...outboundTargets(context)].map((target) => {
    const { service, port, subset } = target;
    const name = outboundClusterName({
      port: port.number,
      subset: subset?.subset.name ?? '',
      hostname: service.hostname,
    });
    const serverMode = serverModeOf(scope, service);
    return memo.resolve(buildOutboundCluster, name, { ...target, meshConfig: scope.snapshot.meshConfig, serverMode });
  });
}

function serverModeOf(scope: NamespaceScope, service: Service) {
  return resolveNamespaceMtls({
    policies: scope.peerAuthentications,
    rootNamespace: scope.snapshot.rootNamespace,
    namespace: service.namespace,
  });
}

function inboundPortsOf({ scope, node, memo }: Context): readonly InboundPort[] {
  return memo.resolve(resolveInboundPorts, node.id, { instances: serviceInstancesOf(scope, node) });
}

function inboundClusters(context: Context): Translated<Cluster>[] {
  const { scope, node, memo } = context;
  return inboundPortsOf(context).map(({ targetPort, port, services }) => {
    const [oldest] = services;
    const rule = oldest === undefined ? undefined : scope.destinationRuleOf(oldest, node.labels);
    const { meshConfig } = scope.snapshot;
    return memo.resolve(buildInboundCluster, String(targetPort), { services, port, targetPort, rule, meshConfig });
  });
}

function fixedClusters({ scope, memo }: Context): readonly Translated<Cluster>[] {
  return memo.resolve(buildFixedClusters, '', { meshConfig: scope.snapshot.meshConfig });
}

function endpointNames(context: Context): readonly string[] {
  return [...outboundTargets(context)]
    .filter(({ service }) => service.resolution === 'ClientSideLB')
    .map(({ service, port, subset }) =>
      outboundClusterName({ port: port.number, subset: subset?.subset.name ?? '', hostname: service.hostname }),
    );
}

function endpointsOf({ scope, node, memo }: Context, name: string): Translated<ClusterLoadAssignment> | undefined {
  const key = parseOutboundClusterName(name);
  const service = key === undefined ? undefined : scope.serviceByHostname.get(key.hostname);
  const port = service?.ports.find((candidate) => candidate.number === key?.port);
  if (key === undefined || service === undefined || port === undefined) return undefined;
  const rule = scope.destinationRuleOf(service, node.labels);
  const subset = rule?.subsets.find((candidate) => candidate.subset.name === key.subset);
  if (key.subset !== '' && subset === undefined) return undefined;
  const { meshConfig, endpoints, rootNamespace, domainSuffix } = scope.snapshot;
  const policy = resolveTrafficPolicy({
    policy: rule?.trafficPolicy,
    subsetPolicy: subset?.subset.trafficPolicy,
    port: port.number,
    meshDefaults: meshConfig.defaultTrafficPolicy,
  });
  if (isPassthroughBalancing(policy.loadBalancer)) return undefined;
  const serverMode = serverModeOf(scope, service);
  const usesMtls =
    policy.tls === undefined
      ? hasAutoMtls({ meshConfig, meshExternal: service.meshExternal, serverMode })
      : policy.tls.mode === 'ISTIO_MUTUAL';
  return memo.resolve(buildLoadAssignment, name, {
    service,
    port,
    subset: key.subset,
    subsetLabels: subset?.subset.labels,
    shards: endpoints.get(serviceKey(service)),
    peerAuthentications: scope.peerAuthentications,
    rootNamespace,
    usesMtls,
    omitsUnhealthy:
      (policy.outlierDetection?.minHealthPercent ?? 0) > 0 && service.attributes.trafficDistribution === undefined,
    onlyNode: service.attributes.internalTrafficPolicy === 'Local' ? `${node.clusterId}/${node.nodeName}` : undefined,
    onlyCluster: isClusterLocal({ hostname: service.hostname, meshConfig, domainSuffix, rootNamespace })
      ? node.clusterId
      : undefined,
  });
}

function listeners(context: Context): readonly Translated<Listener>[] {
  const { scope, node, memo } = context;
  // Without interception nothing is captured, so there is nothing to listen for.
  if (node.interceptionMode === 'NONE') return [];
  const { meshConfig } = scope.snapshot;
  const features = featuresKey(node.features);
  const ports = inboundPortsOf(context);
  return [
    memo.resolve(buildVirtualOutbound, VIRTUAL_OUTBOUND, { meshConfig, features }),
    memo.resolve(buildVirtualInbound, VIRTUAL_INBOUND, { ports, mtls: workloadMtlsOf(context), meshConfig, features }),
    ...buildOutboundListeners(scope, node, memo),
  ];
}

function workloadMtlsOf({ scope, node, memo }: Context): WorkloadMtls {
  return memo.resolve(resolveWorkloadMtls, node.id, {
    policies: scope.peerAuthentications,
    rootNamespace: scope.snapshot.rootNamespace,
    namespace: node.namespace,
    labels: node.labels,
  });
}

function* routeNames({ scope }: Context): Iterable<string> {
  for (const [number, entries] of scope.httpServicesByPort) {
    if (entries.some(({ port }) => isHttpProtocol(port.protocol))) yield String(number);
    for (const { service, port } of entries) if (port.protocol === 'auto') yield `${service.hostname}:${port.number}`;
  }
}

function routesOf(context: Context, name: string): Translated<RouteConfiguration> | undefined {
  const separator = name.lastIndexOf(':');
  const listenerPort = Number(name.slice(separator + 1));
  if (!Number.isInteger(listenerPort) || listenerPort <= 0) return undefined;
  const { scope, node, memo } = context;
  const sniffed = separator < 0 ? undefined : scope.serviceByHostname.get(name.slice(0, separator));
  if (separator >= 0 && sniffed === undefined) return undefined;
  const entries = scope.httpServicesByPort.get(listenerPort) ?? [];
  const services = sniffed === undefined ? servicesOf(entries) : [sniffed];
  const virtualServices = virtualServicesFor(scope, services, listenerPort);
  const { meshConfig, domainSuffix } = scope.snapshot;
  return memo.resolve(buildRouteConfiguration, name, {
    name,
    listenerPort,
    sniffed,
    services,
    virtualServices,
    destinations: destinationsOf(context, services, virtualServices),
    proxyNamespace: node.namespace,
    proxyLabels: readsProxyLabels(virtualServices) ? node.labels : undefined,
    clusterId: node.clusterId,
    domainSuffix,
    defaultRetries: meshConfig.defaultHttpRetryPolicy,
    allowsUnknownHosts: meshConfig.outboundTrafficPolicy.mode !== 'REGISTRY_ONLY',
  });
}

/** The VirtualServices that a configuration has to do with, so that others change without it being built anew. */
function virtualServicesFor(
  scope: NamespaceScope,
  services: readonly Service[],
  listenerPort: number,
): readonly VirtualServiceResource[] {
  // Port 80 also serves the hosts that no service has.
  if (listenerPort === 80) return scope.virtualServices;
  const { domainSuffix } = scope.snapshot;
  return scope.virtualServices.filter((resource) =>
    virtualServiceHosts(resource, domainSuffix).some((host) =>
      services.some((service) => matchHosts(host, service.hostname)),
    ),
  );
}

/** Every host that a route of this configuration can lead to. */
function destinationsOf(
  { scope, node, memo }: Context,
  services: readonly Service[],
  virtualServices: readonly VirtualServiceResource[],
): readonly RouteDestinationHost[] {
  const hostnames = new Set(services.map((service) => service.hostname));
  for (const resource of virtualServices) {
    for (const host of destinationHosts(resource))
      hostnames.add(resolveShortName(host, resource.namespace, scope.snapshot.domainSuffix));
  }
  return [...hostnames].map((hostname) => {
    const service = scope.serviceByHostname.get(hostname);
    const rule: MergedDestinationRule | undefined =
      service === undefined ? undefined : scope.destinationRuleOf(service, node.labels);
    return memo.resolve(joinHost, hostname, { hostname, service, rule });
  });
}

/** Through the memo, so that an unchanged host is the same object from snapshot to snapshot. */
function joinHost(host: RouteDestinationHost): RouteDestinationHost {
  return host;
}

function destinationHosts({ spec }: VirtualServiceResource): readonly string[] {
  const ofRoute = (http: HTTPRoute): readonly string[] => [
    ...(http.route ?? []).map(({ destination }) => destination.host),
    ...(http.mirrors ?? []).map(({ destination }) => destination.host),
    ...(http.mirror === undefined ? [] : [http.mirror.host]),
  ];
  return (spec.http ?? []).flatMap(ofRoute);
}

function readsProxyLabels(resources: readonly VirtualServiceResource[]): boolean {
  return resources.some(({ spec }) =>
    (spec.http ?? []).some((http) => (http.match ?? []).some((match) => match.sourceLabels !== undefined)),
  );
}
