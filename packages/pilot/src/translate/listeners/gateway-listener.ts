import { create } from '@bufbuild/protobuf';
import type { MeshConfig } from '@meltemi/api';
import { UNSPECIFIED_ADDRESS } from '@meltemi/model';
import { TrafficDirection } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import type { FilterChainSchema } from '@meltemi/xds/types/envoy/config/listener/v3/listener_components_pb.js';
import { type Listener, ListenerSchema } from '@meltemi/xds/types/envoy/config/listener/v3/listener_pb.js';
import { toAddress, toCidrRange } from '../addresses.ts';
import { anyAddressOf, type IpFamilies, toAnyAddress } from '../ip-families.ts';
import { listenerName } from '../names.ts';
import { durationOf, type Init } from '../protobuf-values.ts';
import { type ProxyFeatures, parseFeaturesKey } from '../proxy-node.ts';
import type { L4Route } from '../routes/l4-routes.ts';
import { type RouterServer, type ServerFamily, serverHosts } from '../scope/gateway-servers.ts';
import { configSource, type SourceRef, type Translated } from '../translated.ts';
import { buildListenerAccessLogs } from './access-log.ts';
import { buildGatewayServerTls, buildMeshServerTls } from './downstream-tls.ts';
import { buildHttpConnectionManager } from './http-connection-manager.ts';
import { tlsInspector } from './listener-filters.ts';
import { buildTcpProxy, buildTcpTelemetry } from './tcp-proxy.ts';

type FilterChainInit = Init<typeof FilterChainSchema>;

/** A server and where its connections go: to a route configuration, or by routes of connections. */
export interface GatewayDestination {
  readonly server: RouterServer;
  /** The route configuration for requests; absent where connections are carried as they are. */
  readonly routeName: string | undefined;
  readonly l4Routes: readonly L4Route[];
}

/** Everything that a router's listener is made of. */
export interface GatewayListenerInput {
  /** `0.0.0.0` for every address of either family. */
  readonly bind: string;
  readonly targetPort: number;
  readonly family: ServerFamily;
  readonly destinations: readonly GatewayDestination[];
  readonly meshConfig: MeshConfig;
  readonly features: string;
  readonly families: IpFamilies;
}

/** How long a client may take for its TLS handshake. Istio's `PILOT_GATEWAY_TRANSPORT_SOCKET_CONNECT_TIMEOUT`. */
const HANDSHAKE_TIMEOUT = '15s';

/** Builds the listener of one port of a router; absent where nothing could be served on it. */
export function buildGatewayListener(input: GatewayListenerInput): Translated<Listener> | undefined {
  const { bind, targetPort, family, meshConfig, families } = input;
  const filterChains = family === 'http' ? plainHttpChains(input) : input.destinations.flatMap(chainsOf(input));
  if (filterChains.length === 0) return undefined;
  const name = nameOf(input);
  const resource = create(ListenerSchema, {
    name,
    address: bind === UNSPECIFIED_ADDRESS ? toAnyAddress(families, targetPort) : toAddress(bind, targetPort),
    trafficDirection: TrafficDirection.OUTBOUND,
    filterChains: withoutRepeatedMatches(filterChains),
    listenerFilters: family === 'tls' ? [tlsInspector()] : [],
    accessLog: buildListenerAccessLogs(meshConfig),
  });
  return { name, resource, sources: sourcesOf(input) };
}

function nameOf({ bind, targetPort, families }: GatewayListenerInput): string {
  return listenerName(bind === UNSPECIFIED_ADDRESS ? anyAddressOf(families) : bind, targetPort);
}

/** All servers of a port of plain HTTP share one chain: requests name the host. */
function plainHttpChains(input: GatewayListenerInput): FilterChainInit[] {
  const [first] = input.destinations;
  return first?.routeName === undefined ? [] : [{ filters: [httpFilter(input, first.routeName)] }];
}

function httpFilter(input: GatewayListenerInput, routes: string) {
  const { meshConfig, features } = input;
  return buildHttpConnectionManager({
    direction: 'gateway',
    statPrefix: `outbound_${nameOf(input)}`,
    routes,
    meshConfig,
    features: parseFeaturesKey(features),
  });
}

function chainsOf(input: GatewayListenerInput): (destination: GatewayDestination) => FilterChainInit[] {
  const features = parseFeaturesKey(input.features);
  return ({ server, routeName, l4Routes }) => {
    if (input.family === 'tcp') return l4Routes.map((route) => l4Chain(route, input, features, route.sniHosts));
    if (server.mode === 'PASSTHROUGH')
      return l4Routes.map((route) => l4Chain(route, input, features, withoutAny(route.sniHosts)));
    const transportSocket = transportSocketOf(input, server, routeName);
    if (transportSocket === undefined) return [];
    const names = withoutAny(serverHosts(server));
    const ended = {
      transportSocket,
      transportSocketConnectTimeout: durationOf(HANDSHAKE_TIMEOUT),
    };
    if (routeName === undefined)
      return l4Routes.map((route) => ({ ...l4Chain(route, input, features, names), ...ended }));
    return [{ ...matchNames(names, []), filters: [httpFilter(input, routeName)], ...ended }];
  };
}

/** Where TLS ends at the router; `undefined` for servers that cannot be served. */
function transportSocketOf({ meshConfig }: GatewayListenerInput, server: RouterServer, routeName: string | undefined) {
  const { tls } = server.server;
  if (server.mode === 'ISTIO_MUTUAL') return buildMeshServerTls(meshConfig, routeName === undefined ? 'tcp' : 'http');
  return tls === undefined ? undefined : buildGatewayServerTls(tls);
}

function l4Chain(
  route: L4Route,
  { meshConfig }: GatewayListenerInput,
  features: ProxyFeatures,
  serverNames: readonly string[],
): FilterChainInit {
  const [first] = route.targets;
  const statPrefix = route.targets.length === 1 && first !== undefined ? first.cluster : route.statPrefix;
  return {
    ...matchNames(serverNames, route.destinationSubnets),
    filters: [...buildTcpTelemetry(features, false), buildTcpProxy({ targets: route.targets, statPrefix, meshConfig })],
  };
}

function matchNames(serverNames: readonly string[], subnets: readonly string[]): FilterChainInit {
  if (serverNames.length + subnets.length === 0) return {};
  return { filterChainMatch: { serverNames: [...serverNames], prefixRanges: subnets.map(toCidrRange) } };
}

/** A chain without names takes connections of every name. */
function withoutAny(hosts: readonly string[]): readonly string[] {
  return hosts.includes('*') ? [] : hosts;
}

/** A listener with two chains for one connection is refused as a whole: the first, the older one, stays. */
function withoutRepeatedMatches(chains: readonly FilterChainInit[]): FilterChainInit[] {
  const taken = new Set<string>();
  return chains.flatMap((chain) => {
    const { serverNames = [], prefixRanges = [] } = chain.filterChainMatch ?? {};
    const ranges = prefixRanges.map(({ addressPrefix, prefixLen }) => `${addressPrefix}/${prefixLen}`).join();
    const free = (serverNames.length === 0 ? [''] : serverNames).filter((name) => !taken.has(`${name} ${ranges}`));
    if (free.length === 0) return [];
    for (const name of free) taken.add(`${name} ${ranges}`);
    if (serverNames.length === free.length || serverNames.length === 0) return [chain];
    return [{ ...chain, filterChainMatch: { ...chain.filterChainMatch, serverNames: free } }];
  });
}

function sourcesOf({ destinations }: GatewayListenerInput): readonly SourceRef[] {
  return destinations.flatMap(({ server, l4Routes }) => [
    configSource(server.resource, server.fieldPath),
    ...l4Routes.map(({ source }) => source),
  ]);
}
