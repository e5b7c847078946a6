import { create } from '@bufbuild/protobuf';
import type { MeshConfig } from '@meltemi/api';
import { isHttpProtocol, type Service, type ServicePort, UNSPECIFIED_ADDRESS } from '@meltemi/model';
import { TrafficDirection } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import type { FilterChainSchema } from '@meltemi/xds/types/envoy/config/listener/v3/listener_components_pb.js';
import { type Listener, ListenerSchema } from '@meltemi/xds/types/envoy/config/listener/v3/listener_pb.js';
import { toAddress, toCidrRange } from '../addresses.ts';
import { anyAddressOf, type IpFamilies, toAnyAddress } from '../ip-families.ts';
import { listenerName, outboundClusterName } from '../names.ts';
import { type Init, join } from '../protobuf-values.ts';
import { type ProxyFeatures, parseFeaturesKey } from '../proxy-node.ts';
import type { L4Route } from '../routes/l4-routes.ts';
import { type SourceRef, serviceSource, type Translated } from '../translated.ts';
import { buildListenerAccessLogs } from './access-log.ts';
import { buildHttpConnectionManager } from './http-connection-manager.ts';
import { detectionTimeout, httpInspector, tlsInspector } from './listener-filters.ts';
import { buildTcpProxy, buildTcpTelemetry, type WeightedTarget } from './tcp-proxy.ts';
import { unknownDestinationCluster } from './virtual-outbound.ts';

type FilterChainInit = Init<typeof FilterChainSchema>;

/** A service's port as a listener serves it without HTTP. */
export interface L4Destination {
  readonly service: Service;
  readonly port: ServicePort;
  /** Routes of VirtualServices, first match first; empty for the service's own cluster. */
  readonly routes: readonly L4Route[];
  readonly idleTimeout: string | undefined;
  readonly maxConnectionDuration: string | undefined;
  readonly hashesSourceIp: boolean;
}

/** Everything that an outbound listener is made of. */
export interface OutboundListenerInput {
  /** `0.0.0.0` for every address of either family, or an address of a service or an endpoint. */
  readonly bind: string;
  readonly port: number;
  /** The route configuration for HTTP; absent where no HTTP is expected. */
  readonly routeName: string | undefined;
  /** Oldest first. */
  readonly destinations: readonly L4Destination[];
  readonly meshConfig: MeshConfig;
  readonly features: string;
  readonly families: IpFamilies;
}

const PLAIN_HTTP_ALPN = ['http/1.1', 'h2c'];
const PASSTHROUGH_CHAIN = 'PassthroughFilterChain';

/** Builds the listener for one destination address and port. It is not bound: `virtualOutbound` hands it connections. */
export function buildOutboundListener(input: OutboundListenerInput): Translated<Listener> {
  const { bind, port, routeName, meshConfig } = input;
  const features = parseFeaturesKey(input.features);
  const name = nameOf(input);
  const httpChains = routeName === undefined ? [] : [buildHttpChain(input, routeName, features)];
  const l4Chains = input.destinations.flatMap((destination) => buildL4Chains(destination, input, features));
  const chains = [...httpChains, ...l4Chains.filter(hasMatch)];
  const catchAll = l4Chains.find((chain) => !hasMatch(chain)) ?? passthroughChain(input, features);
  // The connection manager's chain alone needs a way out for what is not HTTP; a plain catch-all stands by itself.
  const isSingle = chains.length === 0;
  const needsTls = chains.some(({ filterChainMatch }) => (filterChainMatch?.serverNames?.length ?? 0) > 0);
  const isSniffing = httpChains.length > 0;
  const resource = create(
    ListenerSchema,
    join<typeof ListenerSchema>(
      {
        name,
        address: bind === UNSPECIFIED_ADDRESS ? toAnyAddress(input.families, port) : toAddress(bind, port),
        bindToPort: false,
        trafficDirection: TrafficDirection.OUTBOUND,
        filterChains: isSingle ? [catchAll] : chains,
        listenerFilters: [
          ...(isSniffing || needsTls ? [tlsInspector()] : []),
          ...(isSniffing ? [httpInspector()] : []),
        ],
        accessLog: buildListenerAccessLogs(meshConfig),
      },
      isSingle ? {} : { defaultFilterChain: catchAll },
      isSniffing || needsTls ? detectionTimeout(meshConfig) : {},
    ),
  );
  return { name, resource, sources: sourcesOf(input) };
}

function nameOf({ bind, port, families }: OutboundListenerInput): string {
  return listenerName(bind === UNSPECIFIED_ADDRESS ? anyAddressOf(families) : bind, port);
}

function hasMatch({ filterChainMatch }: FilterChainInit): boolean {
  return filterChainMatch !== undefined;
}

function buildHttpChain(input: OutboundListenerInput, routeName: string, features: ProxyFeatures): FilterChainInit {
  return {
    filterChainMatch: { applicationProtocols: PLAIN_HTTP_ALPN, transportProtocol: 'raw_buffer' },
    filters: [
      buildHttpConnectionManager({
        direction: 'outbound',
        statPrefix: `outbound_${nameOf(input)}`,
        routes: routeName,
        meshConfig: input.meshConfig,
        features,
      }),
    ],
  };
}

/** Where what is not HTTP goes on a port that several services share. */
function passthroughChain({ meshConfig }: OutboundListenerInput, features: ProxyFeatures): FilterChainInit {
  const cluster = unknownDestinationCluster(meshConfig);
  return {
    name: PASSTHROUGH_CHAIN,
    filters: [
      ...buildTcpTelemetry(features, false),
      buildTcpProxy({ targets: [{ cluster, weight: 1 }], statPrefix: cluster, meshConfig }),
    ],
  };
}

function buildL4Chains(
  destination: L4Destination,
  input: OutboundListenerInput,
  features: ProxyFeatures,
): FilterChainInit[] {
  const { service, port, routes, idleTimeout, maxConnectionDuration, hashesSourceIp } = destination;
  const chain = (
    match: FilterChainInit['filterChainMatch'],
    targets: readonly WeightedTarget[],
    statPrefix: string,
  ) => ({
    ...(match === undefined ? {} : { filterChainMatch: match }),
    filters: [
      ...buildTcpTelemetry(features, false),
      buildTcpProxy({
        targets,
        statPrefix,
        meshConfig: input.meshConfig,
        idleTimeout,
        maxConnectionDuration,
        hashesSourceIp,
      }),
    ],
  });
  const chains = routes.map((route) => {
    const match =
      route.sniHosts.length > 0 || route.destinationSubnets.length > 0
        ? { serverNames: [...route.sniHosts], prefixRanges: route.destinationSubnets.map(toCidrRange) }
        : undefined;
    const [first] = route.targets;
    return chain(match, route.targets, route.targets.length === 1 && first ? first.cluster : route.statPrefix);
  });
  if (routes.some((route) => route.sniHosts.length === 0 && route.destinationSubnets.length === 0)) return chains;
  const cluster = outboundClusterName({ port: port.number, subset: '', hostname: service.hostname });
  // On a shared address only the server name tells one TLS service from another.
  const isShared = input.bind === UNSPECIFIED_ADDRESS && !isHttpProtocol(port.protocol);
  const isTls = port.protocol === 'tls' || port.protocol === 'https';
  const ownMatch = isShared && isTls ? { serverNames: [service.hostname] } : undefined;
  return [...chains, chain(ownMatch, [{ cluster, weight: 1 }], cluster)];
}

function sourcesOf({ destinations }: OutboundListenerInput): readonly SourceRef[] {
  return destinations.flatMap(({ service, routes }) => [
    serviceSource(service),
    ...routes.map((route) => route.source),
  ]);
}
