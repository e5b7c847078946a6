import type { GatewaySpec } from '@meltemi/api';
import { namesGateway } from '@meltemi/api';
import { configsOf, UNSPECIFIED_ADDRESS } from '@meltemi/model';
import type { Listener } from '@meltemi/xds/types/envoy/config/listener/v3/listener_pb.js';
import type { RouteConfiguration } from '@meltemi/xds/types/envoy/config/route/v3/route_pb.js';
import { buildBlackHoleCluster } from './clusters/fixed-clusters.ts';
import { serviceInstancesOf } from './inbound-ports.ts';
import { familiesOf } from './ip-families.ts';
import { buildGatewayListener, type GatewayDestination } from './listeners/gateway-listener.ts';
import { contextOf, destinationsOf, outboundClusters, readsProxyLabels, translateOutbound } from './outbound.ts';
import { featuresKey } from './proxy-node.ts';
import type { ProxyContext, ProxyInput, ProxyTranslation } from './proxy-translation.ts';
import { buildGatewayRoutes } from './routes/gateway-routes.ts';
import { buildTcpRoutes, buildTlsRoutes, type L4Route, type L4Selectors } from './routes/l4-routes.ts';
import { intersectHosts, type RouterPort, type RouterServer, resolveRouterPorts } from './scope/gateway-servers.ts';
import { type VirtualServiceResource, virtualServiceHosts } from './scope/namespace-scope.ts';
import type { Translated } from './translated.ts';

/** Prepares the translation for one router, a proxy at the edge of the mesh: it serves what Gateways say, and no more. */
export function translateRouter(input: ProxyInput): ProxyTranslation {
  const context = contextOf(input);
  return {
    ...translateOutbound(context),
    clusters: () => [
      ...outboundClusters(context),
      input.memo.resolve(buildBlackHoleCluster, '', { meshConfig: input.snapshot.meshConfig }),
    ],
    listeners: () => listeners(context),
    routes: (names) => {
      const wanted = names === undefined ? undefined : new Set(names);
      return [...routeServers(context)]
        .filter(([name]) => wanted?.has(name) ?? true)
        .map(([name, servers]) => routesOf(context, name, servers));
    },
  };
}

function portsOf({ scope, node, memo }: ProxyContext): readonly RouterPort[] {
  return memo.resolve(resolveRouterPorts, node.id, {
    gateways: configsOf<GatewaySpec>(scope.snapshot, 'Gateway'),
    labels: node.labels,
    instances: serviceInstancesOf(scope, node),
    isUnprivileged: node.isUnprivileged,
  });
}

/** The names of route configurations, and the servers that share each. */
function routeServers(context: ProxyContext): ReadonlyMap<string, readonly RouterServer[]> {
  const found = new Map<string, readonly RouterServer[]>();
  for (const port of portsOf(context)) {
    if (port.family === 'http') found.set(plainRouteName(port), port.servers);
    if (port.family !== 'tls') continue;
    for (const server of port.servers) if (endsInHttp(server)) found.set(tlsRouteName(port, server), [server]);
  }
  return found;
}

/** `http.<targetPort>`, and the address where it is not every one. */
function plainRouteName({ bind, targetPort }: RouterPort): string {
  return `http.${targetPort}${bindSuffix(bind)}`;
}

/** `https.<port>.<port name>.<gateway>.<namespace>`, and the address where it is not every one. */
function tlsRouteName({ bind }: RouterPort, { server, resource }: RouterServer): string {
  return `https.${server.port.number}.${server.port.name ?? ''}.${resource.name}.${resource.namespace}${bindSuffix(bind)}`;
}

function bindSuffix(bind: string): string {
  return bind === UNSPECIFIED_ADDRESS ? '' : `.${bind}`;
}

function endsInHttp({ server, mode }: RouterServer): boolean {
  return server.port.protocol.toLowerCase() === 'https' && mode !== 'PASSTHROUGH' && mode !== 'AUTO_PASSTHROUGH';
}

function routesOf(
  context: ProxyContext,
  name: string,
  servers: readonly RouterServer[],
): Translated<RouteConfiguration> {
  const { scope, node, memo } = context;
  const virtualServices = scope.gatewayVirtualServices.filter((resource) =>
    servers.some((server) => isBound(resource, server)),
  );
  const { meshConfig, domainSuffix } = scope.snapshot;
  return memo.resolve(buildGatewayRoutes, name, {
    name,
    servers,
    virtualServices,
    destinations: destinationsOf(context, [], virtualServices),
    proxyNamespace: node.namespace,
    proxyLabels: readsProxyLabels(virtualServices) ? node.labels : undefined,
    domainSuffix,
    defaultRetries: meshConfig.defaultHttpRetryPolicy,
  });
}

function isBound({ spec, namespace }: VirtualServiceResource, { gateway }: RouterServer): boolean {
  return namesGateway(spec.gateways ?? [], namespace, gateway);
}

function listeners(context: ProxyContext): readonly Translated<Listener>[] {
  const { scope, node, memo } = context;
  return portsOf(context).flatMap((port) => {
    const { bind, targetPort, family } = port;
    const destinations = port.servers.map((server) => destinationOf(context, port, server));
    const listener = memo.resolve(buildGatewayListener, `${bind}_${targetPort}`, {
      bind,
      targetPort,
      family,
      destinations,
      meshConfig: scope.snapshot.meshConfig,
      features: featuresKey(node.features),
      families: familiesOf(node.addresses),
    });
    return listener ?? [];
  });
}

function destinationOf(context: ProxyContext, port: RouterPort, server: RouterServer): GatewayDestination {
  const { memo } = context;
  const key = `${port.bind}_${port.targetPort} ${server.gateway} ${server.fieldPath}`;
  if (port.family === 'http')
    return memo.resolve(joinDestination, key, { server, routeName: plainRouteName(port), l4Routes: NO_ROUTES });
  if (endsInHttp(server))
    return memo.resolve(joinDestination, key, { server, routeName: tlsRouteName(port, server), l4Routes: NO_ROUTES });
  return memo.resolve(joinDestination, key, { server, routeName: undefined, l4Routes: l4RoutesOf(context, server) });
}

const NO_ROUTES: readonly L4Route[] = [];

/** Through the memo, so that an unchanged destination is the same object and its listener is not built anew. */
function joinDestination(destination: GatewayDestination): GatewayDestination {
  return destination;
}

function l4RoutesOf(context: ProxyContext, server: RouterServer): readonly L4Route[] {
  const { scope, node, memo } = context;
  const virtualServices = scope.gatewayVirtualServices.filter(
    (resource) => isBound(resource, server) && (resource.spec.tcp?.length ?? 0) + (resource.spec.tls?.length ?? 0) > 0,
  );
  return memo.resolve(buildGatewayL4Routes, `${server.gateway} ${server.fieldPath}`, {
    server,
    virtualServices,
    proxyNamespace: node.namespace,
    proxyLabels: virtualServices.length === 0 ? NO_LABELS : node.labels,
    domainSuffix: scope.snapshot.domainSuffix,
    destinations: destinationsOf(context, [], virtualServices),
  });
}

const NO_LABELS = {};

/** The routes of connections to a server: by name where TLS goes through, else those of TCP. */
function buildGatewayL4Routes(
  input: Omit<L4Selectors, 'gateway' | 'port'> & {
    readonly server: RouterServer;
    readonly virtualServices: readonly VirtualServiceResource[];
  },
): readonly L4Route[] {
  const { server, virtualServices, ...selected } = input;
  const selectors: L4Selectors = { ...selected, gateway: server.gateway, port: server.server.port.number };
  return virtualServices.flatMap((resource) => {
    const hosts = intersectHosts(server, virtualServiceHosts(resource, input.domainSuffix), resource.namespace);
    if (hosts.length === 0) return [];
    if (server.mode === 'PASSTHROUGH') return buildTlsRoutes(selectors, resource);
    return buildTcpRoutes(selectors, resource);
  });
}
