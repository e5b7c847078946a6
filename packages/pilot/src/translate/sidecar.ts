import type { HTTPRoute } from '@meltemi/api';
import {
  isHeadless,
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
import type { ProxyConfig } from '@meltemi/xds/types/istio/mesh/v1alpha1/proxy_pb.js';
import type { NameTable } from '@meltemi/xds/types/istio/networking/nds/v1/nds_pb.js';
import { buildFixedClusters } from './clusters/fixed-clusters.ts';
import { buildInboundCluster } from './clusters/inbound-cluster.ts';
import { isPassthroughBalancing } from './clusters/load-balancer.ts';
import { buildOutboundCluster } from './clusters/outbound-cluster.ts';
import { hasAutoMtls } from './clusters/upstream-tls.ts';
import { buildLoadAssignment } from './endpoints/load-assignment.ts';
import { resolveBoundPorts, resolveInboundPorts, serviceInstancesOf } from './inbound-ports.ts';
import { familiesOf, loopbackOf } from './ip-families.ts';
import { buildBoundInbound } from './listeners/bound-inbound.ts';
import { buildHttpProxyListener } from './listeners/http-proxy-listener.ts';
import type { InboundPort } from './listeners/inbound-chains.ts';
import { buildOutboundListeners } from './listeners/outbound-listeners.ts';
import { buildVirtualInbound } from './listeners/virtual-inbound.ts';
import { buildVirtualOutbound } from './listeners/virtual-outbound.ts';
import type { TranslationMemo } from './memo.ts';
import { buildNameTable } from './name-table.ts';
import {
  HTTP_PROXY_ROUTES,
  outboundClusterName,
  parseOutboundClusterName,
  VIRTUAL_INBOUND,
  VIRTUAL_OUTBOUND,
} from './names.ts';
import { buildProxyConfig, PROXY_CONFIG } from './proxy-config.ts';
import { featuresKey, type ProxyNode } from './proxy-node.ts';
import { buildHttpProxyRoutes, type PortRoutes } from './routes/http-proxy-routes.ts';
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
  /** What the agent beside the proxy answers DNS queries from. */
  nameTable(): Translated<NameTable>;
  /** What the agent beside the proxy is told: nothing, or what it is to trust. */
  proxyConfigs(): readonly Translated<ProxyConfig>[];
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
    nameTable: () => nameTableOf(context),
    proxyConfigs: () => proxyConfigsOf(context),
  };
}

interface Context {
  readonly scope: NamespaceScope;
  readonly node: ProxyNode;
  readonly memo: TranslationMemo;
}

function nameTableOf({ scope, node, memo }: Context): Translated<NameTable> {
  const { services, snapshot } = scope;
  const { clusterId, network } = node;
  const headless = services.filter(isHeadless).map((service) => snapshot.endpoints.get(serviceKey(service)));
  return memo.resolve(buildNameTable, `${clusterId}/${network}`, { services, headless, clusterId, network });
}

function proxyConfigsOf({ scope, memo }: Context): readonly Translated<ProxyConfig>[] {
  const { trustAnchors } = scope.snapshot;
  return trustAnchors.length === 0 ? [] : [memo.resolve(buildProxyConfig, PROXY_CONFIG, { trustAnchors })];
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
  const ports = memo.resolve(resolveInboundPorts, node.id, { instances: serviceInstancesOf(scope, node) });
  if (node.application === undefined) return ports;
  return memo.resolve(resolveBoundPorts, node.id, { ports, declared: node.application.ports });
}

function inboundClusters(context: Context): Translated<Cluster>[] {
  const { scope, node, memo } = context;
  return inboundPortsOf(context).map(({ targetPort, port, services }) => {
    const [oldest] = services;
    const rule = oldest === undefined ? undefined : scope.destinationRuleOf(oldest, node.labels);
    const { meshConfig } = scope.snapshot;
    return memo.resolve(buildInboundCluster, String(targetPort), {
      services,
      port,
      targetPort,
      rule,
      meshConfig,
      applicationAddress: node.application?.address,
      families: familiesOf(node.addresses),
    });
  });
}

function fixedClusters({ scope, node, memo }: Context): readonly Translated<Cluster>[] {
  const families = familiesOf(node.addresses);
  return memo.resolve(buildFixedClusters, families, { meshConfig: scope.snapshot.meshConfig, families });
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
  const { meshConfig } = scope.snapshot;
  const features = featuresKey(node.features);
  const httpProxy = httpProxyListener(context);
  // Without interception nothing is captured: what listens is what clients call by its own address.
  if (node.interceptionMode === 'NONE') return [...boundListeners(context), ...httpProxy];
  const ports = inboundPortsOf(context);
  const families = familiesOf(node.addresses);
  return [
    ...httpProxy,
    memo.resolve(buildVirtualOutbound, VIRTUAL_OUTBOUND, { meshConfig, features, families }),
    memo.resolve(buildVirtualInbound, VIRTUAL_INBOUND, {
      ports,
      mtls: workloadMtlsOf(context),
      meshConfig,
      features,
      isTransparent: node.interceptionMode === 'TPROXY',
      families,
    }),
    ...buildOutboundListeners(scope, node, memo),
  ];
}

/** Where the pod's address ends at the sidecar and the application has another. */
function boundListeners(context: Context): readonly Translated<Listener>[] {
  const { scope, node, memo } = context;
  const [bind] = node.addresses;
  if (node.application === undefined || bind === undefined) return [];
  const { meshConfig } = scope.snapshot;
  const features = featuresKey(node.features);
  const mtls = workloadMtlsOf(context);
  return inboundPortsOf(context).map((inbound) =>
    memo.resolve(buildBoundInbound, `${bind}_${inbound.targetPort}`, { bind, inbound, mtls, meshConfig, features }),
  );
}

/** On the loopback address of the pod: its own where it has one, else everybody's. */
function httpProxyListener({ scope, node, memo }: Context): readonly Translated<Listener>[] {
  const { meshConfig } = scope.snapshot;
  const port = meshConfig.proxyHttpPort;
  if (port === 0) return [];
  const loopback = loopbackOf(familiesOf(node.addresses));
  const bind = node.application === undefined ? loopback : (node.addresses[0] ?? loopback);
  return [
    memo.resolve(buildHttpProxyListener, `${bind}_${port}`, {
      bind,
      port,
      meshConfig,
      features: featuresKey(node.features),
    }),
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
  if (scope.snapshot.meshConfig.proxyHttpPort !== 0) yield HTTP_PROXY_ROUTES;
  for (const [number, entries] of scope.httpServicesByPort) {
    if (entries.some(({ port }) => isHttpProtocol(port.protocol))) yield String(number);
    for (const { service, port } of entries) if (port.protocol === 'auto') yield `${service.hostname}:${port.number}`;
  }
}

function httpProxyRoutes(context: Context): Translated<RouteConfiguration> {
  const configurations = [...context.scope.httpServicesByPort.keys()]
    .sort((left, right) => left - right)
    .flatMap((port): PortRoutes[] => {
      const routes = routesOf(context, String(port));
      return routes === undefined ? [] : [context.memo.resolve(joinPort, String(port), { port, routes })];
    });
  return context.memo.resolve(buildHttpProxyRoutes, HTTP_PROXY_ROUTES, { configurations });
}

/** Through the memo, so that unchanged routes are the same object and the whole is not built anew. */
function joinPort(routes: PortRoutes): PortRoutes {
  return routes;
}

function routesOf(context: Context, name: string): Translated<RouteConfiguration> | undefined {
  if (name === HTTP_PROXY_ROUTES) return httpProxyRoutes(context);
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
