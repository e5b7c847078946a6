import type { RouteDestination, TCPRoute, TLSRoute } from '@meltemi/api';
import { MESH_GATEWAY, namesGateway } from '@meltemi/api';
import { type Labels, matchHosts, matchLabels, resolveShortName, type Service, type ServicePort } from '@meltemi/model';
import type { WeightedTarget } from '../listeners/tcp-proxy.ts';
import { outboundClusterName } from '../names.ts';
import { type VirtualServiceResource, virtualServiceHosts } from '../scope/namespace-scope.ts';
import { configSource, type SourceRef } from '../translated.ts';
import type { RouteDestinationHost } from './http-routes.ts';

type L4MatchAttributes = NonNullable<TCPRoute['match']>[number];
type TLSMatchAttributes = TLSRoute['match'][number];

/** A TCP or TLS route of a VirtualService. */
export interface L4Route {
  /** Empty for a TCP route. */
  readonly sniHosts: readonly string[];
  readonly destinationSubnets: readonly string[];
  /** At least one. */
  readonly targets: readonly WeightedTarget[];
  /** `<name>.<namespace>` of the VirtualService: how several targets are called together. */
  readonly statPrefix: string;
  readonly source: SourceRef;
}

/** What L4 matches are compared with while routes are made. */
export interface L4Selectors {
  /** `mesh`, or `<namespace>/<name>` of a Gateway. */
  readonly gateway: string;
  /** Of the service, or of the Gateway's server. */
  readonly port: number;
  readonly proxyNamespace: string;
  readonly proxyLabels: Labels;
  readonly domainSuffix: string;
  /** Hosts that routes name. */
  readonly destinations: readonly RouteDestinationHost[];
}

/** What routes of one destination are made of. */
export interface L4RoutesInput {
  readonly service: Service;
  readonly port: ServicePort;
  /** In priority order. */
  readonly virtualServices: readonly VirtualServiceResource[];
  readonly proxyNamespace: string;
  readonly proxyLabels: Labels;
  readonly domainSuffix: string;
  /** Hosts that those routes name. */
  readonly destinations: readonly RouteDestinationHost[];
}

/** Translates the tls and tcp routes that apply to a service's port. A route that takes everything ends the list. */
export function buildL4Routes(input: L4RoutesInput): readonly L4Route[] {
  const { service, port, domainSuffix } = input;
  const resource = input.virtualServices.find(
    (candidate) =>
      ((candidate.spec.tls ?? []).length > 0 || (candidate.spec.tcp ?? []).length > 0) &&
      virtualServiceHosts(candidate, domainSuffix).some((host) => matchHosts(host, service.hostname)),
  );
  if (resource === undefined) return [];
  const selectors: L4Selectors = { ...input, gateway: MESH_GATEWAY, port: port.number };
  const isTls = port.protocol === 'tls' || port.protocol === 'https';
  return isTls ? buildTlsRoutes(selectors, resource) : buildTcpRoutes(selectors, resource);
}

/** Translates the tls routes of one VirtualService that apply to a port. */
export function buildTlsRoutes(selectors: L4Selectors, resource: VirtualServiceResource): L4Route[] {
  return (resource.spec.tls ?? []).flatMap((route, index) =>
    route.match
      .filter((match) => appliesTo(match, selectors, resource.namespace))
      .map((match) =>
        toL4Route(
          selectors,
          resource,
          `spec.tls[${index}]`,
          route.route,
          match.destinationSubnets ?? [],
          match.sniHosts,
        ),
      )
      .filter((l4) => l4 !== undefined),
  );
}

/** Translates the tcp routes of one VirtualService that apply to a port, up to the first that takes everything. */
export function buildTcpRoutes(selectors: L4Selectors, resource: VirtualServiceResource): L4Route[] {
  const routes: L4Route[] = [];
  for (const [index, route] of (resource.spec.tcp ?? []).entries()) {
    const matches: readonly L4MatchAttributes[] = (route.match ?? []).length > 0 ? (route.match ?? []) : [{}];
    for (const match of matches) {
      if (!appliesTo(match, selectors, resource.namespace)) continue;
      const path = `spec.tcp[${index}]`;
      const l4 = toL4Route(selectors, resource, path, route.route, match.destinationSubnets ?? [], []);
      if (l4 === undefined) continue;
      routes.push(l4);
      if (l4.destinationSubnets.length === 0) return routes;
    }
  }
  return routes;
}

function appliesTo(match: L4MatchAttributes | TLSMatchAttributes, selectors: L4Selectors, namespace: string): boolean {
  if (match.port !== undefined && match.port !== selectors.port) return false;
  if (match.gateways !== undefined && match.gateways.length > 0)
    return namesGateway(match.gateways, namespace, selectors.gateway);
  if (match.sourceNamespace !== undefined && match.sourceNamespace !== selectors.proxyNamespace) return false;
  return matchLabels(match.sourceLabels, selectors.proxyLabels);
}

function toL4Route(
  selectors: L4Selectors,
  resource: VirtualServiceResource,
  fieldPath: string,
  destinations: readonly RouteDestination[] | undefined,
  destinationSubnets: readonly string[],
  sniHosts: readonly string[],
): L4Route | undefined {
  const targets = (destinations ?? [])
    .map(({ destination, weight }) => {
      const hostname = resolveShortName(destination.host, resource.namespace, selectors.domainSuffix);
      return {
        cluster: outboundClusterName({
          port: destination.port?.number ?? defaultPortOf(hostname, selectors),
          subset: destination.subset ?? '',
          hostname,
        }),
        weight: destinations?.length === 1 ? 1 : (weight ?? 0),
      };
    })
    .filter((target) => target.weight > 0);
  if (targets.length === 0) return undefined;
  return {
    sniHosts,
    destinationSubnets,
    targets,
    statPrefix: `${resource.name}.${resource.namespace}`,
    source: configSource(resource, fieldPath),
  };
}

/** A service's only port; the port that was called where there are several, or none is known. */
function defaultPortOf(hostname: string, { destinations, port }: L4Selectors): number {
  const ports = destinations.find((destination) => destination.hostname === hostname)?.service?.ports ?? [];
  return ports.length === 1 ? (ports[0]?.number ?? port) : port;
}
