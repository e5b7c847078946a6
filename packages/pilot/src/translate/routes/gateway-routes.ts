import { create } from '@bufbuild/protobuf';
import type { HTTPRetry } from '@meltemi/api';
import { namesGateway } from '@meltemi/api';
import type { Labels } from '@meltemi/model';
import {
  VirtualHost_TlsRequirementType,
  type VirtualHostSchema,
} from '@meltemi/xds/types/envoy/config/route/v3/route_components_pb.js';
import {
  type RouteConfiguration,
  RouteConfigurationSchema,
} from '@meltemi/xds/types/envoy/config/route/v3/route_pb.js';
import type { Init } from '../protobuf-values.ts';
import { intersectHosts, type RouterServer, serverHosts } from '../scope/gateway-servers.ts';
import { type VirtualServiceResource, virtualServiceHosts } from '../scope/namespace-scope.ts';
import { configSource, type SourceRef, type Translated } from '../translated.ts';
import { type BuiltRoute, buildHttpRoutes, type HttpRoutesContext, type RouteDestinationHost } from './http-routes.ts';
import { MAX_DIRECT_RESPONSE_BYTES, uniqueSources } from './route-configuration.ts';

/** Everything that the routes of one port of a router are made of. */
export interface GatewayRoutesInput {
  readonly name: string;
  /** Those that share the routes, in the order of their Gateways' age. */
  readonly servers: readonly RouterServer[];
  /** In priority order. */
  readonly virtualServices: readonly VirtualServiceResource[];
  /** Hosts that their routes name. */
  readonly destinations: readonly RouteDestinationHost[];
  readonly proxyNamespace: string;
  readonly proxyLabels: Labels | undefined;
  readonly domainSuffix: string;
  readonly defaultRetries: HTTPRetry | undefined;
}

interface HostDraft {
  readonly routes: BuiltRoute[];
  readonly sources: SourceRef[];
  readonly port: number;
  redirectsToHttps: boolean;
}

/** Builds the routes of one port of a router: a virtual host for each host that a server and a VirtualService share. */
export function buildGatewayRoutes(input: GatewayRoutesInput): Translated<RouteConfiguration> {
  const hosts = new Map<string, HostDraft>();
  for (const server of input.servers) addServer(input, server, hosts);
  const served = [...hosts].filter(([, { routes, redirectsToHttps }]) => routes.length > 0 || redirectsToHttps);
  served.sort(([left], [right]) => (left < right ? -1 : 1));
  const resource = create(RouteConfigurationSchema, {
    name: input.name,
    validateClusters: false,
    maxDirectResponseBodySizeBytes: MAX_DIRECT_RESPONSE_BYTES,
    // Clients write the port or leave it out; the listener has decided by it already.
    ignorePortInHostMatching: true,
    virtualHosts: served.length === 0 ? [blackHole(input)] : served.map(([host, draft]) => toVirtualHost(host, draft)),
  });
  const sources = [
    ...input.servers.map((server) => configSource(server.resource, server.fieldPath)),
    ...served.flatMap(([, draft]) => draft.sources),
  ];
  return { name: input.name, resource, sources: uniqueSources(sources) };
}

function addServer(input: GatewayRoutesInput, server: RouterServer, hosts: Map<string, HostDraft>): void {
  const port = server.server.port.number;
  const draftOf = (host: string): HostDraft => {
    const draft = hosts.get(host) ?? { routes: [], sources: [], port, redirectsToHttps: false };
    hosts.set(host, draft);
    return draft;
  };
  if (server.server.tls?.httpsRedirect === true)
    for (const host of serverHosts(server)) draftOf(host).redirectsToHttps = true;
  for (const resource of input.virtualServices) {
    if (!namesGateway(resource.spec.gateways ?? [], resource.namespace, server.gateway)) continue;
    const shared = intersectHosts(server, virtualServiceHosts(resource, input.domainSuffix), resource.namespace);
    const routes = shared.length === 0 ? [] : buildHttpRoutes(resource, contextOf(input, server));
    for (const host of shared) {
      const draft = draftOf(host);
      // Two servers of one port may both lead here.
      if (draft.sources.some(({ resourceKey }) => resourceKey === configSource(resource).resourceKey)) continue;
      draft.routes.push(...routes);
      draft.sources.push(...routes.map(({ fieldPath }) => configSource(resource, fieldPath)));
    }
  }
}

function contextOf(input: GatewayRoutesInput, { gateway, server }: RouterServer): HttpRoutesContext {
  return {
    gateway,
    listenerPort: server.port.number,
    proxyNamespace: input.proxyNamespace,
    proxyLabels: input.proxyLabels ?? {},
    domainSuffix: input.domainSuffix,
    defaultRetries: input.defaultRetries,
    destinations: new Map(input.destinations.map((destination) => [destination.hostname, destination])),
  };
}

function toVirtualHost(host: string, { routes, port, redirectsToHttps }: HostDraft): Init<typeof VirtualHostSchema> {
  // Of several VirtualServices one may take everything; the others' routes must still be reached.
  const ordered = [...routes.filter((route) => !takesAll(route)), ...routes.filter(takesAll)];
  return {
    name: `${host}:${port}`,
    domains: [host],
    includeRequestAttemptCount: true,
    routes: ordered.map(({ route }) => route),
    ...(redirectsToHttps ? { requireTls: VirtualHost_TlsRequirementType.ALL } : {}),
  };
}

function takesAll({ route: { match } }: BuiltRoute): boolean {
  const isRoot = match?.pathSpecifier?.case === 'prefix' && match.pathSpecifier.value === '/';
  return isRoot && (match.headers ?? []).length + (match.queryParameters ?? []).length === 0;
}

/** Where nothing is served every request finds nothing. */
function blackHole({ servers }: GatewayRoutesInput): Init<typeof VirtualHostSchema> {
  return { name: `blackhole:${servers[0]?.server.port.number ?? 0}`, domains: ['*'] };
}
