import { base64Decode } from '@bufbuild/protobuf/wire';
import type { HTTPMatchRequest, HTTPRetry, HTTPRoute } from '@meltemi/api';
import type { Service } from '@meltemi/model';
import { resolveShortName } from '@meltemi/model';
import type {
  DirectResponseActionSchema,
  RouteActionSchema,
  RouteSchema,
} from '@meltemi/xds/types/envoy/config/route/v3/route_components_pb.js';
import { outboundClusterName } from '../names.ts';
import { defined, durationOf, filterMetadata, type Init, join, NO_DURATION } from '../protobuf-values.ts';
import type { MergedDestinationRule } from '../scope/destination-rule.ts';
import type { VirtualServiceResource } from '../scope/namespace-scope.ts';
import { resolveTrafficPolicy } from '../scope/traffic-policy.ts';
import { configPath } from '../translated.ts';
import { buildCors } from './cors.ts';
import { buildFault } from './fault.ts';
import { fractionOf } from './fraction.ts';
import { buildHashPolicy } from './hash-policy.ts';
import { authorityOf, buildHeaderChanges } from './header-operations.ts';
import { buildRedirect } from './redirect.ts';
import { buildRetryPolicy } from './retry-policy.ts';
import { buildRouteMatch, isCatchAll, matchesStatically, type StaticSelectors } from './route-match.ts';
import { toRegexMatcher } from './string-match.ts';

type RouteInit = Init<typeof RouteSchema>;
type RouteActionInit = Init<typeof RouteActionSchema>;
type Destination = NonNullable<HTTPRoute['route']>[number]['destination'];

const FAULT_FILTER = 'envoy.filters.http.fault';
const CORS_FILTER = 'envoy.filters.http.cors';
const DEFAULT_ROUTE_NAME = 'default';

/** A host that routes may name, as the registry and the rules know it. */
export interface RouteDestinationHost {
  readonly hostname: string;
  readonly service: Service | undefined;
  readonly rule: MergedDestinationRule | undefined;
}

/** What routes are made against. */
export interface HttpRoutesContext extends StaticSelectors {
  readonly domainSuffix: string;
  readonly defaultRetries: HTTPRetry | undefined;
  readonly destinations: ReadonlyMap<string, RouteDestinationHost>;
}

/** A route and the field that it comes from; `undefined` for a default route. */
export interface BuiltRoute {
  readonly route: RouteInit;
  readonly fieldPath: string | undefined;
}

/** The route to a service that no VirtualService speaks of. */
export function buildDefaultRoute(
  { hostname, rule }: RouteDestinationHost,
  port: number,
  defaultRetries: HTTPRetry | undefined,
): RouteInit {
  const { loadBalancer } = resolveTrafficPolicy({
    policy: rule?.trafficPolicy,
    subsetPolicy: undefined,
    port,
    meshDefaults: undefined,
  });
  const hashPolicy = buildHashPolicy(loadBalancer);
  return {
    name: DEFAULT_ROUTE_NAME,
    match: buildRouteMatch(undefined),
    decorator: { operation: `${hostname}:${port}/*` },
    action: {
      case: 'route',
      value: defined({
        clusterSpecifier: { case: 'cluster' as const, value: outboundClusterName({ port, subset: '', hostname }) },
        ...buildTimeout(undefined),
        retryPolicy: buildRetryPolicy(defaultRetries, hashPolicy !== undefined),
        hashPolicy: hashPolicy === undefined ? undefined : [hashPolicy],
      }),
    },
  };
}

/** Translates the http routes of a VirtualService, up to the first that takes everything. */
export function buildHttpRoutes(resource: VirtualServiceResource, context: HttpRoutesContext): readonly BuiltRoute[] {
  const routes: BuiltRoute[] = [];
  for (const [index, http] of (resource.spec.http ?? []).entries()) {
    const fieldPath = `spec.http[${index}]`;
    const matches = http.match ?? [];
    if (matches.length === 0) {
      routes.push({ route: buildRoute(resource, http, undefined, context), fieldPath });
      return routes;
    }
    for (const match of matches) {
      if (!matchesStatically(match, context, resource.namespace)) continue;
      routes.push({ route: buildRoute(resource, http, match, context), fieldPath });
      if (isCatchAll(match)) return routes;
    }
  }
  return routes;
}

function buildRoute(
  resource: VirtualServiceResource,
  http: HTTPRoute,
  match: HTTPMatchRequest | undefined,
  context: HttpRoutesContext,
): RouteInit {
  const name = [http.name, match?.name].filter((part) => part !== undefined && part !== '').join('.');
  const base: RouteInit = defined({
    name,
    match: buildRouteMatch(match),
    statPrefix: match?.statPrefix,
    metadata: filterMetadata('istio', { config: configPath(resource) }),
    decorator: { operation: operationOf(resource, http, match, context) },
    typedPerFilterConfig: {
      ...(http.fault === undefined ? {} : { [FAULT_FILTER]: buildFault(http.fault) }),
      ...(http.corsPolicy === undefined ? {} : { [CORS_FILTER]: buildCors(http.corsPolicy) }),
    },
  });
  return join<typeof RouteSchema>(base, buildHeaderChanges(http.headers), {
    action: buildAction(resource, http, match, context),
  });
}

function buildAction(
  resource: VirtualServiceResource,
  http: HTTPRoute,
  match: HTTPMatchRequest | undefined,
  context: HttpRoutesContext,
): NonNullable<RouteInit['action']> {
  if (http.redirect !== undefined) return { case: 'redirect', value: buildRedirect(http.redirect) };
  if (http.directResponse !== undefined)
    return { case: 'directResponse', value: buildDirectResponse(http.directResponse) };
  return { case: 'route', value: buildRouteAction(resource, http, match, context) };
}

function buildDirectResponse({
  status,
  body,
}: NonNullable<HTTPRoute['directResponse']>): Init<typeof DirectResponseActionSchema> {
  if (body?.string !== undefined) return { status, body: { specifier: { case: 'inlineString', value: body.string } } };
  if (body?.bytes !== undefined)
    return { status, body: { specifier: { case: 'inlineBytes', value: base64Decode(body.bytes) } } };
  return { status };
}

function buildRouteAction(
  resource: VirtualServiceResource,
  http: HTTPRoute,
  match: HTTPMatchRequest | undefined,
  context: HttpRoutesContext,
): RouteActionInit {
  const hashPolicies = (http.route ?? [])
    .map(({ destination }) => buildHashPolicy(balancingOf(resource, destination, context)))
    .filter((policy) => policy !== undefined);
  const isSticky = (http.route ?? []).length === 1 && hashPolicies.length > 0;
  return join<typeof RouteActionSchema>(
    buildClusters(resource, http, context),
    buildTimeout(http.timeout),
    buildRewrite(http, match),
    defined({
      retryPolicy: buildRetryPolicy(http.retries ?? context.defaultRetries, isSticky),
      requestMirrorPolicies: buildMirrors(resource, http, context),
      hashPolicy: hashPolicies,
    }),
  );
}

/** No limit where nobody sets one; a limit holds for what gRPC callers ask as well. */
function buildTimeout(text: string | undefined): RouteActionInit {
  const timeout = durationOf(text) ?? NO_DURATION;
  return { timeout, maxGrpcTimeout: timeout };
}

function buildClusters(resource: VirtualServiceResource, http: HTTPRoute, context: HttpRoutesContext): RouteActionInit {
  const destinations = http.route ?? [];
  const [only] = destinations;
  if (destinations.length === 1 && only !== undefined) {
    const hostRewriteLiteral = authorityOf(only.headers);
    const single: RouteActionInit = {
      clusterSpecifier: { case: 'cluster', value: clusterOf(resource, only.destination, context) },
      ...(hostRewriteLiteral === undefined
        ? {}
        : { hostRewriteSpecifier: { case: 'hostRewriteLiteral', value: hostRewriteLiteral } }),
    };
    if (only.headers === undefined) return single;
  }
  const weighted = destinations.length === 1 ? destinations.map((one) => ({ ...one, weight: 1 })) : destinations;
  const clusters = weighted
    .filter(({ weight }) => (weight ?? 0) > 0)
    .map(({ destination, weight, headers }) => {
      const hostRewriteLiteral = authorityOf(headers);
      return defined({
        name: clusterOf(resource, destination, context),
        weight: weight ?? 0,
        ...buildHeaderChanges(headers),
        hostRewriteSpecifier:
          hostRewriteLiteral === undefined
            ? undefined
            : { case: 'hostRewriteLiteral' as const, value: hostRewriteLiteral },
      });
    });
  return { clusterSpecifier: { case: 'weightedClusters', value: { clusters } } };
}

function buildRewrite({ rewrite, headers }: HTTPRoute, match: HTTPMatchRequest | undefined): RouteActionInit {
  const authority = rewrite?.authority ?? authorityOf(headers);
  return join<typeof RouteActionSchema>(
    authority === undefined ? {} : { hostRewriteSpecifier: { case: 'hostRewriteLiteral', value: authority } },
    rewrite === undefined ? {} : buildPathRewrite(rewrite, match),
  );
}

function buildPathRewrite(
  { uri, uriRegexRewrite }: NonNullable<HTTPRoute['rewrite']>,
  match: HTTPMatchRequest | undefined,
): RouteActionInit {
  if (uriRegexRewrite !== undefined)
    return {
      regexRewrite: {
        pattern: toRegexMatcher(uriRegexRewrite.match ?? ''),
        substitution: uriRegexRewrite.rewrite ?? '',
      },
    };
  if (uri === undefined) return {};
  // Envoy replaces a matched prefix or exact path; for a regular expression there is no such part, so all of the path goes.
  if (match?.uri?.regex === undefined) return { prefixRewrite: uri };
  return { regexRewrite: { pattern: toRegexMatcher('[^?]*'), substitution: uri } };
}

function buildMirrors(
  resource: VirtualServiceResource,
  http: HTTPRoute,
  context: HttpRoutesContext,
): NonNullable<RouteActionInit['requestMirrorPolicies']> {
  const percentage = http.mirrorPercentage?.value ?? http.mirrorPercent;
  const mirrors =
    http.mirror === undefined
      ? (http.mirrors ?? []).map((mirror) => ({ destination: mirror.destination, percent: mirror.percentage?.value }))
      : [{ destination: http.mirror, percent: percentage }];
  return mirrors
    .filter(({ percent }) => percent !== 0)
    .map(({ destination, percent }) => ({
      cluster: clusterOf(resource, destination, context),
      runtimeFraction: { defaultValue: fractionOf(percent ?? 100) },
      traceSampled: false,
      disableShadowHostSuffixAppend: true,
    }));
}

/** The cluster of a destination. A host that nobody knows has one, too: requests to it then fail with `NC`. */
function clusterOf(resource: VirtualServiceResource, destination: Destination, context: HttpRoutesContext): string {
  const hostname = resolveShortName(destination.host, resource.namespace, context.domainSuffix);
  return outboundClusterName({
    port: portOf(destination, context.destinations.get(hostname)?.service, context),
    subset: destination.subset ?? '',
    hostname,
  });
}

function portOf(destination: Destination, service: Service | undefined, context: HttpRoutesContext): number {
  if (destination.port?.number !== undefined) return destination.port.number;
  const [only] = service?.ports ?? [];
  return service?.ports.length === 1 && only !== undefined ? only.number : context.listenerPort;
}

function balancingOf(resource: VirtualServiceResource, destination: Destination, context: HttpRoutesContext) {
  const hostname = resolveShortName(destination.host, resource.namespace, context.domainSuffix);
  const host = context.destinations.get(hostname);
  const subset = host?.rule?.subsets.find((candidate) => candidate.subset.name === destination.subset);
  return resolveTrafficPolicy({
    policy: host?.rule?.trafficPolicy,
    subsetPolicy: subset?.subset.trafficPolicy,
    port: portOf(destination, host?.service, context),
    meshDefaults: undefined,
  }).loadBalancer;
}

/** How traces call the request: by its only destination, else by the VirtualService. */
function operationOf(
  resource: VirtualServiceResource,
  http: HTTPRoute,
  match: HTTPMatchRequest | undefined,
  context: HttpRoutesContext,
): string {
  const path = match?.uri?.exact ?? (match?.uri?.prefix === undefined ? '/*' : `${match.uri.prefix}*`);
  const [only] = http.route ?? [];
  if (http.route?.length !== 1 || only === undefined) return `${resource.name}:${context.listenerPort}${path}`;
  const hostname = resolveShortName(only.destination.host, resource.namespace, context.domainSuffix);
  const port = portOf(only.destination, context.destinations.get(hostname)?.service, context);
  return `${hostname}:${port}${path}`;
}
