import { create } from '@bufbuild/protobuf';
import type { HTTPRetry } from '@meltemi/api';
import { MESH_GATEWAY } from '@meltemi/api';
import { compareHostSpecificity, type Labels, matchHosts, type Service } from '@meltemi/model';
import type { VirtualHostSchema } from '@meltemi/xds/types/envoy/config/route/v3/route_components_pb.js';
import {
  type RouteConfiguration,
  RouteConfigurationSchema,
} from '@meltemi/xds/types/envoy/config/route/v3/route_pb.js';
import { PASSTHROUGH_CLUSTER } from '../names.ts';
import { type Init, NO_DURATION } from '../protobuf-values.ts';
import { type ServiceOnPort, type VirtualServiceResource, virtualServiceHosts } from '../scope/namespace-scope.ts';
import { configSource, type SourceRef, serviceSource, type Translated } from '../translated.ts';
import {
  buildDefaultRoute,
  buildHttpRoutes,
  type HttpRoutesContext,
  type RouteDestinationHost,
} from './http-routes.ts';
import { buildDomains } from './virtual-host-domains.ts';

type VirtualHostInit = Init<typeof VirtualHostSchema>;

/** The most that a route may answer by itself. */
export const MAX_DIRECT_RESPONSE_BYTES: number = 1024 * 1024;
const HTTP_PORT = 80;

/** Everything that a route configuration is made of. */
export interface RouteConfigurationInput {
  /** `<port>`, or `<hostname>:<port>` for one service whose protocol is detected. */
  readonly name: string;
  readonly listenerPort: number;
  /** The one service that a detected port serves; absent where services share the port. */
  readonly sniffed: Service | undefined;
  /** Services with an HTTP or detected port of this number, by hostname. */
  readonly services: readonly Service[];
  /** In priority order. */
  readonly virtualServices: readonly VirtualServiceResource[];
  /** Hosts that those routes name. */
  readonly destinations: readonly RouteDestinationHost[];
  readonly proxyNamespace: string;
  /** Only where a match reads them, so that other proxies may share the result. */
  readonly proxyLabels: Labels | undefined;
  readonly clusterId: string;
  readonly domainSuffix: string;
  readonly defaultRetries: HTTPRetry | undefined;
  /** Whether requests to unknown hosts go where they were going. */
  readonly allowsUnknownHosts: boolean;
}

interface BuiltHost {
  readonly host: VirtualHostInit;
  readonly sources: readonly SourceRef[];
}

/** Builds the routes of one outbound port. */
export function buildRouteConfiguration(input: RouteConfigurationInput): Translated<RouteConfiguration> {
  const hosts = input.sniffed === undefined ? buildSharedHosts(input) : [buildSniffedHost(input, input.sniffed)];
  const resource = create(RouteConfigurationSchema, {
    name: input.name,
    validateClusters: false,
    maxDirectResponseBodySizeBytes: MAX_DIRECT_RESPONSE_BYTES,
    // Callers write the port or leave it out; the listener has decided by it already.
    ignorePortInHostMatching: true,
    virtualHosts: [
      ...hosts.map(({ host }) => host),
      ...(input.sniffed === undefined ? [buildCatchAllHost(input.allowsUnknownHosts)] : []),
    ],
  });
  return { name: input.name, resource, sources: uniqueSources(hosts.flatMap(({ sources }) => sources)) };
}

function buildSharedHosts(input: RouteConfigurationInput): readonly BuiltHost[] {
  const byHostname = new Map(input.services.map((service) => [service.hostname, service]));
  const hosts = input.services.map((service) => buildServiceHost(input, service));
  for (const { hostname, resource } of unregisteredHosts(input, byHostname))
    hosts.push(buildHost(input, hostname, undefined, resource));
  hosts.sort((left, right) => ((left.host.name ?? '') < (right.host.name ?? '') ? -1 : 1));
  return withoutDuplicateDomains(hosts);
}

function buildServiceHost(input: RouteConfigurationInput, service: Service): BuiltHost {
  return buildHost(input, service.hostname, service, virtualServiceOf(input, service.hostname));
}

function buildSniffedHost(input: RouteConfigurationInput, service: Service): BuiltHost {
  const built = buildServiceHost(input, service);
  return { ...built, host: { ...built.host, domains: ['*'] } };
}

function buildHost(
  input: RouteConfigurationInput,
  hostname: string,
  service: Service | undefined,
  resource: VirtualServiceResource | undefined,
): BuiltHost {
  const destinations = new Map(input.destinations.map((destination) => [destination.hostname, destination]));
  const proxyLabels = input.proxyLabels ?? {};
  const context: HttpRoutesContext = { ...input, gateway: MESH_GATEWAY, proxyLabels, destinations };
  const routes = resource === undefined ? undefined : buildHttpRoutes(resource, context);
  const own = destinations.get(hostname) ?? { hostname, service, rule: undefined };
  const serviceSources = service === undefined ? [] : [serviceSource(service)];
  // A VirtualService without http routes (only tcp or tls) leaves HTTP as it is.
  const usesDefault = routes === undefined || (resource?.spec.http ?? []).length === 0;
  const ruleSources = own.rule === undefined ? [] : own.rule.rules.map((rule) => configSource(rule));
  return {
    host: {
      name: `${hostname}:${input.listenerPort}`,
      domains: buildDomains({ ...input, hostname, service }),
      includeRequestAttemptCount: true,
      routes: usesDefault
        ? [buildDefaultRoute(own, input.listenerPort, input.defaultRetries)]
        : routes.map(({ route }) => route),
    },
    sources:
      usesDefault || resource === undefined
        ? [...serviceSources, ...ruleSources]
        : [...serviceSources, ...routes.map(({ fieldPath }) => configSource(resource, fieldPath))],
  };
}

/** The VirtualService of a host: one names it exactly, else the longest wildcard; among equals the first in order. */
function virtualServiceOf(input: RouteConfigurationInput, hostname: string): VirtualServiceResource | undefined {
  let best: VirtualServiceResource | undefined;
  let bestHost: string | undefined;
  for (const resource of input.virtualServices) {
    for (const host of virtualServiceHosts(resource, input.domainSuffix)) {
      if (!matchHosts(host, hostname)) continue;
      if (bestHost !== undefined && compareHostSpecificity(host, bestHost) >= 0) continue;
      best = resource;
      bestHost = host;
    }
  }
  return best;
}

/** Hosts that only a VirtualService knows are served on port 80, where plain HTTP to the outside goes. */
function unregisteredHosts(
  input: RouteConfigurationInput,
  byHostname: ReadonlyMap<string, Service>,
): readonly { readonly hostname: string; readonly resource: VirtualServiceResource }[] {
  if (input.listenerPort !== HTTP_PORT) return [];
  const found = new Map<string, VirtualServiceResource>();
  for (const resource of input.virtualServices) {
    if ((resource.spec.http ?? []).length === 0) continue;
    for (const host of virtualServiceHosts(resource, input.domainSuffix)) {
      const isRegistered = [...byHostname.keys()].some((hostname) => matchHosts(host, hostname));
      if (!isRegistered && !isKnownElsewhere(input, host) && !found.has(host)) found.set(host, resource);
    }
  }
  return [...found].map(([hostname, resource]) => ({ hostname, resource }));
}

/** A host of the registry that has no HTTP on this port is not an unknown host. */
function isKnownElsewhere(input: RouteConfigurationInput, host: string): boolean {
  return input.destinations.some(({ hostname, service }) => service !== undefined && hostname === host);
}

/** Every domain may stand once in a configuration; a generated short form never takes the place of a full name. */
function withoutDuplicateDomains(hosts: readonly BuiltHost[]): readonly BuiltHost[] {
  const fullNames = new Map(hosts.map(({ host }) => [host.domains?.[0]?.toLowerCase() ?? '', host]));
  const taken = new Set<string>();
  const kept: BuiltHost[] = [];
  for (const built of hosts) {
    const domains = (built.host.domains ?? []).filter((domain) => {
      const key = domain.toLowerCase();
      const owner = fullNames.get(key);
      if (taken.has(key) || (owner !== undefined && owner !== built.host)) return false;
      taken.add(key);
      return true;
    });
    if (domains.length > 0) kept.push({ ...built, host: { ...built.host, domains } });
  }
  return kept;
}

/** The host of all names that no other has. */
export function buildCatchAllHost(allowsUnknownHosts: boolean): VirtualHostInit {
  if (!allowsUnknownHosts)
    return {
      name: 'block_all',
      domains: ['*'],
      includeRequestAttemptCount: true,
      routes: [
        {
          name: 'block_all',
          match: { pathSpecifier: { case: 'prefix', value: '/' } },
          action: { case: 'directResponse', value: { status: 502 } },
        },
      ],
    };
  return {
    name: 'allow_any',
    domains: ['*'],
    includeRequestAttemptCount: true,
    routes: [
      {
        name: 'allow_any',
        match: { pathSpecifier: { case: 'prefix', value: '/' } },
        action: {
          case: 'route',
          value: {
            clusterSpecifier: { case: 'cluster', value: PASSTHROUGH_CLUSTER },
            timeout: NO_DURATION,
            maxGrpcTimeout: NO_DURATION,
          },
        },
      },
    ],
  };
}

/** Each source once, in order. */
export function uniqueSources(sources: readonly SourceRef[]): readonly SourceRef[] {
  const byKey = new Map(sources.map((source) => [`${source.resourceKey} ${source.fieldPath}`, source]));
  return [...byKey.values()];
}

/** Services of one port, without their ports. */
export function servicesOf(entries: readonly ServiceOnPort[]): readonly Service[] {
  return [...new Set(entries.map(({ service }) => service))];
}
