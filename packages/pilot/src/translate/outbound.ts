/** What every proxy has, whatever its place: the clusters, endpoints and names of the services that it may call. */
import type { HTTPRoute } from '@meltemi/api';
import { isHeadless, resolveShortName, type Service, serviceKey } from '@meltemi/model';
import type { Cluster } from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import type { ClusterLoadAssignment } from '@meltemi/xds/types/envoy/config/endpoint/v3/endpoint_pb.js';
import type { ProxyConfig } from '@meltemi/xds/types/istio/mesh/v1alpha1/proxy_pb.js';
import type { NameTable } from '@meltemi/xds/types/istio/networking/nds/v1/nds_pb.js';
import { isPassthroughBalancing } from './clusters/load-balancer.ts';
import { buildOutboundCluster } from './clusters/outbound-cluster.ts';
import { hasAutoMtls } from './clusters/upstream-tls.ts';
import { buildLoadAssignment } from './endpoints/load-assignment.ts';
import { buildNameTable } from './name-table.ts';
import { outboundClusterName, parseOutboundClusterName } from './names.ts';
import { buildProxyConfig, PROXY_CONFIG } from './proxy-config.ts';
import type { ProxyContext, ProxyInput, ProxyTranslation } from './proxy-translation.ts';
import type { RouteDestinationHost } from './routes/http-routes.ts';
import { isClusterLocal } from './scope/cluster-local.ts';
import type { MergedDestinationRule } from './scope/destination-rule.ts';
import { buildNamespaceScope, type NamespaceScope, type VirtualServiceResource } from './scope/namespace-scope.ts';
import { resolveNamespaceMtls } from './scope/peer-authentication.ts';
import { resolveTrafficPolicy } from './scope/traffic-policy.ts';
import type { Translated } from './translated.ts';

/** What translation for a proxy looks things up in; proxies of one namespace share the scope. */
export function contextOf({ snapshot, node, memo }: ProxyInput): ProxyContext {
  const { namespace } = node;
  const scope = memo.resolve(buildNamespaceScope, namespace, { snapshot, namespace, memo });
  return { scope, node, memo };
}

/** The part of a translation that is the same for every proxy. */
export function translateOutbound(
  context: ProxyContext,
): Pick<ProxyTranslation, 'endpoints' | 'nameTable' | 'proxyConfigs'> {
  return {
    endpoints: (names) => [...(names ?? endpointNames(context))].flatMap((name) => endpointsOf(context, name) ?? []),
    nameTable: () => nameTableOf(context),
    proxyConfigs: () => proxyConfigsOf(context),
  };
}

/** What the agent beside the proxy answers DNS queries from. */
function nameTableOf({ scope, node, memo }: ProxyContext): Translated<NameTable> {
  const { services, snapshot } = scope;
  const { clusterId, network } = node;
  const headless = services.filter(isHeadless).map((service) => snapshot.endpoints.get(serviceKey(service)));
  return memo.resolve(buildNameTable, `${clusterId}/${network}`, { services, headless, clusterId, network });
}

/** What the agent beside the proxy is to trust. */
function proxyConfigsOf({ scope, memo }: ProxyContext): readonly Translated<ProxyConfig>[] {
  const { trustAnchors } = scope.snapshot;
  return trustAnchors.length === 0 ? [] : [memo.resolve(buildProxyConfig, PROXY_CONFIG, { trustAnchors })];
}

function* outboundTargets({ scope, node }: ProxyContext) {
  for (const service of scope.services) {
    const rule = scope.destinationRuleOf(service, node.labels);
    for (const port of service.ports) {
      if (port.protocol === 'udp') continue;
      yield { service, port, rule, subset: undefined };
      for (const subset of rule?.subsets ?? []) yield { service, port, rule, subset };
    }
  }
}

/** One cluster for each port and subset of a service that the proxy may call. */
export function outboundClusters(context: ProxyContext): Translated<Cluster>[] {
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

/** The clusters whose endpoints are discovered. */
function endpointNames(context: ProxyContext): readonly string[] {
  return [...outboundTargets(context)]
    .filter(({ service }) => service.resolution === 'ClientSideLB')
    .map(({ service, port, subset }) =>
      outboundClusterName({ port: port.number, subset: subset?.subset.name ?? '', hostname: service.hostname }),
    );
}

/** The endpoints of one cluster; `undefined` where its name means nothing to the proxy. */
function endpointsOf({ scope, node, memo }: ProxyContext, name: string): Translated<ClusterLoadAssignment> | undefined {
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

/** Every host that a route of this configuration can lead to. */
export function destinationsOf(
  { scope, node, memo }: ProxyContext,
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
  const l4 = [...(spec.tls ?? []), ...(spec.tcp ?? [])].flatMap(({ route = [] }) => route);
  return [...(spec.http ?? []).flatMap(ofRoute), ...l4.map(({ destination }) => destination.host)];
}

/** Whether routes depend on the labels of the proxy. */
export function readsProxyLabels(resources: readonly VirtualServiceResource[]): boolean {
  return resources.some(({ spec }) =>
    (spec.http ?? []).some((http) => (http.match ?? []).some((match) => match.sourceLabels !== undefined)),
  );
}
