import { isHttpProtocol, matchHosts, type Service } from '@meltemi/model';
import type { Cluster } from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import type { Listener } from '@meltemi/xds/types/envoy/config/listener/v3/listener_pb.js';
import type { RouteConfiguration } from '@meltemi/xds/types/envoy/config/route/v3/route_pb.js';
import { buildFixedClusters } from './clusters/fixed-clusters.ts';
import { buildInboundCluster } from './clusters/inbound-cluster.ts';
import { resolveBoundPorts, resolveInboundPorts, serviceInstancesOf } from './inbound-ports.ts';
import { familiesOf, loopbackOf } from './ip-families.ts';
import { buildBoundInbound } from './listeners/bound-inbound.ts';
import { buildHttpProxyListener } from './listeners/http-proxy-listener.ts';
import type { InboundPort } from './listeners/inbound-chains.ts';
import { buildOutboundListeners } from './listeners/outbound-listeners.ts';
import { buildVirtualInbound } from './listeners/virtual-inbound.ts';
import { buildVirtualOutbound } from './listeners/virtual-outbound.ts';
import { HTTP_PROXY_ROUTES, VIRTUAL_INBOUND, VIRTUAL_OUTBOUND } from './names.ts';
import { contextOf, destinationsOf, outboundClusters, readsProxyLabels, translateOutbound } from './outbound.ts';
import { featuresKey } from './proxy-node.ts';
import type { ProxyContext, ProxyInput, ProxyTranslation } from './proxy-translation.ts';
import { buildHttpProxyRoutes, type PortRoutes } from './routes/http-proxy-routes.ts';
import { buildRouteConfiguration, servicesOf } from './routes/route-configuration.ts';
import { type NamespaceScope, type VirtualServiceResource, virtualServiceHosts } from './scope/namespace-scope.ts';
import { resolveWorkloadMtls, type WorkloadMtls } from './scope/peer-authentication.ts';
import type { Translated } from './translated.ts';

/** Prepares the translation for one sidecar; resources are made when they are asked for. */
export function translateSidecar(input: ProxyInput): ProxyTranslation {
  const context = contextOf(input);
  return {
    ...translateOutbound(context),
    clusters: () => [...outboundClusters(context), ...inboundClusters(context), ...fixedClusters(context)],
    listeners: () => listeners(context),
    routes: (names) => [...(names ?? routeNames(context))].flatMap((name) => routesOf(context, name) ?? []),
  };
}

function inboundPortsOf({ scope, node, memo }: ProxyContext): readonly InboundPort[] {
  const ports = memo.resolve(resolveInboundPorts, node.id, { instances: serviceInstancesOf(scope, node) });
  if (node.application === undefined) return ports;
  return memo.resolve(resolveBoundPorts, node.id, { ports, declared: node.application.ports });
}

function inboundClusters(context: ProxyContext): Translated<Cluster>[] {
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

function fixedClusters({ scope, node, memo }: ProxyContext): readonly Translated<Cluster>[] {
  const families = familiesOf(node.addresses);
  return memo.resolve(buildFixedClusters, families, { meshConfig: scope.snapshot.meshConfig, families });
}

function listeners(context: ProxyContext): readonly Translated<Listener>[] {
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
function boundListeners(context: ProxyContext): readonly Translated<Listener>[] {
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
function httpProxyListener({ scope, node, memo }: ProxyContext): readonly Translated<Listener>[] {
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

function workloadMtlsOf({ scope, node, memo }: ProxyContext): WorkloadMtls {
  return memo.resolve(resolveWorkloadMtls, node.id, {
    policies: scope.peerAuthentications,
    rootNamespace: scope.snapshot.rootNamespace,
    namespace: node.namespace,
    labels: node.labels,
  });
}

function* routeNames({ scope }: ProxyContext): Iterable<string> {
  if (scope.snapshot.meshConfig.proxyHttpPort !== 0) yield HTTP_PROXY_ROUTES;
  for (const [number, entries] of scope.httpServicesByPort) {
    if (entries.some(({ port }) => isHttpProtocol(port.protocol))) yield String(number);
    for (const { service, port } of entries) if (port.protocol === 'auto') yield `${service.hostname}:${port.number}`;
  }
}

function httpProxyRoutes(context: ProxyContext): Translated<RouteConfiguration> {
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

function routesOf(context: ProxyContext, name: string): Translated<RouteConfiguration> | undefined {
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
