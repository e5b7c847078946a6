import type { RouteDestination, TCPRoute, TLSRoute } from '@meltemi/api';
import { type Labels, matchHosts, matchLabels, resolveShortName, type Service, type ServicePort } from '@meltemi/model';
import type { WeightedTarget } from '../listeners/tcp-proxy.ts';
import { outboundClusterName } from '../names.ts';
import { type VirtualServiceResource, virtualServiceHosts } from '../scope/namespace-scope.ts';
import { configSource, type SourceRef } from '../translated.ts';

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

/** What routes of one destination are made of. */
export interface L4RoutesInput {
  readonly service: Service;
  readonly port: ServicePort;
  /** In priority order. */
  readonly virtualServices: readonly VirtualServiceResource[];
  readonly proxyNamespace: string;
  readonly proxyLabels: Labels;
  readonly domainSuffix: string;
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
  const routes: L4Route[] = [];
  const isTls = port.protocol === 'tls' || port.protocol === 'https';
  if (isTls) routes.push(...buildTlsRoutes(input, resource));
  for (const [index, route] of (resource.spec.tcp ?? []).entries()) {
    if (isTls) break;
    const matches: readonly L4MatchAttributes[] = (route.match ?? []).length > 0 ? (route.match ?? []) : [{}];
    for (const match of matches) {
      if (!appliesTo(match, input)) continue;
      const l4 = toL4Route(input, resource, `spec.tcp[${index}]`, route.route, match.destinationSubnets ?? [], []);
      if (l4 === undefined) continue;
      routes.push(l4);
      if (l4.destinationSubnets.length === 0) return routes;
    }
  }
  return routes;
}

function buildTlsRoutes(input: L4RoutesInput, resource: VirtualServiceResource): L4Route[] {
  return (resource.spec.tls ?? []).flatMap((route, index) =>
    route.match
      .filter((match) => appliesTo(match, input))
      .map((match) =>
        toL4Route(input, resource, `spec.tls[${index}]`, route.route, match.destinationSubnets ?? [], match.sniHosts),
      )
      .filter((l4) => l4 !== undefined),
  );
}

function appliesTo(match: L4MatchAttributes | TLSMatchAttributes, input: L4RoutesInput): boolean {
  if (match.port !== undefined && match.port !== input.port.number) return false;
  if (match.gateways !== undefined && match.gateways.length > 0) return match.gateways.includes('mesh');
  if (match.sourceNamespace !== undefined && match.sourceNamespace !== input.proxyNamespace) return false;
  return matchLabels(match.sourceLabels, input.proxyLabels);
}

function toL4Route(
  input: L4RoutesInput,
  resource: VirtualServiceResource,
  fieldPath: string,
  destinations: readonly RouteDestination[] | undefined,
  destinationSubnets: readonly string[],
  sniHosts: readonly string[],
): L4Route | undefined {
  const targets = (destinations ?? [])
    .map(({ destination, weight }) => ({
      cluster: outboundClusterName({
        port: destination.port?.number ?? input.port.number,
        subset: destination.subset ?? '',
        hostname: resolveShortName(destination.host, resource.namespace, input.domainSuffix),
      }),
      weight: destinations?.length === 1 ? 1 : (weight ?? 0),
    }))
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
