import {
  type CorsPolicy,
  type Route,
  type RouteAction_RequestMirrorPolicy,
  type RouteMatch,
  type VirtualHost,
  VirtualHost_TlsRequirementType,
} from '@meltemi/xds/types/envoy/config/route/v3/route_components_pb.js';
import type { RouteConfiguration } from '@meltemi/xds/types/envoy/config/route/v3/route_pb.js';
import type {
  RuntimeFilterOverrides,
  RuntimePathMatch,
  RuntimeRoute,
  RuntimeRouteConfig,
  RuntimeRouteMatch,
  RuntimeVirtualHost,
} from '../config/route.ts';
import { at, CompileError, required } from './compile-error.ts';
import { compileHeaderMutations } from './header-mutations.ts';
import { compileCors, compileFilterOverrides } from './http-filters.ts';
import {
  compileHeaderMatcher,
  compileQueryParameterMatcher,
  compileRegex,
  compileRuntimeFraction,
} from './matchers.ts';
import { compileMetadata } from './metadata.ts';
import { compileRetryPolicy } from './retry-policy.ts';
import { compileDirectResponse, compileForwardAction, compileRedirectAction } from './route-action.ts';

const DEFAULT_MAX_DIRECT_RESPONSE_BYTES = 4096;

/** What routes inherit from the levels above. */
interface RouteScope {
  readonly mirrors: readonly RouteAction_RequestMirrorPolicy[];
  readonly maxDirectResponseBytes: number;
}

function compilePathMatch(match: RouteMatch): RuntimePathMatch {
  const specifier = match.pathSpecifier;
  const caseSensitive = match.caseSensitive ?? true;
  switch (specifier.case) {
    case 'prefix':
    case 'path':
      return { kind: specifier.case, value: specifier.value, caseSensitive };
    case 'pathSeparatedPrefix':
      return { kind: 'path_separated_prefix', value: specifier.value, caseSensitive };
    case 'safeRegex':
      return { kind: 'regex', regex: compileRegex(specifier.value) };
    case 'connectMatcher':
      return { kind: 'connect' };
    default:
      throw new CompileError(`unsupported path specifier ${specifier.case ?? '(none)'}`);
  }
}

function compileMatch(match: RouteMatch): RuntimeRouteMatch {
  if (match.tlsContext !== undefined) throw new CompileError('tls_context is not supported');
  if (match.dynamicMetadata.length > 0) throw new CompileError('dynamic_metadata is not supported');
  return {
    path: compilePathMatch(match),
    headers: match.headers.map(compileHeaderMatcher),
    queryParameters: match.queryParameters.map(compileQueryParameterMatcher),
    fraction: match.runtimeFraction === undefined ? undefined : compileRuntimeFraction(match.runtimeFraction, 100),
    grpc: match.grpc !== undefined,
  };
}

function compileAction(route: Route, scope: RouteScope): RuntimeRoute['action'] {
  const action = route.action;
  switch (action.case) {
    case 'route':
      return compileForwardAction(action.value, scope.mirrors);
    case 'redirect':
      return compileRedirectAction(action.value);
    case 'directResponse':
      return compileDirectResponse(action.value, scope.maxDirectResponseBytes);
    default:
      throw new CompileError(`unsupported action ${action.case ?? '(none)'}`);
  }
}

/** Adds the cors rules that stand in the resource itself, the older place for them. */
function withCors(
  overrides: RuntimeFilterOverrides | undefined,
  cors: CorsPolicy | undefined,
): RuntimeFilterOverrides | undefined {
  if (cors === undefined || overrides?.cors !== undefined) return overrides;
  const { enabledSpecifier, ...rest } = cors;
  const policy = compileCors({ ...rest, filterEnabled: enabledSpecifier.value });
  return { disabled: overrides?.disabled ?? [], fault: overrides?.fault, cors: policy };
}

function compileRoute(route: Route, scope: RouteScope): RuntimeRoute {
  const action = compileAction(route, scope);
  const cors = route.action.case === 'route' ? route.action.value.cors : undefined;
  return {
    name: route.name,
    match: at('match', () => compileMatch(required(route.match, 'match'))),
    action,
    requestHeaders: compileHeaderMutations(route.requestHeadersToAdd, route.requestHeadersToRemove),
    responseHeaders: compileHeaderMutations(route.responseHeadersToAdd, route.responseHeadersToRemove),
    filterOverrides: withCors(compileFilterOverrides(route.typedPerFilterConfig), cors),
    perRequestBufferLimitBytes: route.perRequestBufferLimitBytes,
    metadata: compileMetadata(route.metadata),
    decoratorOperation: route.decorator?.operation,
  };
}

const REQUIRE_TLS: Readonly<Record<VirtualHost_TlsRequirementType, RuntimeVirtualHost['requireTls']>> = {
  [VirtualHost_TlsRequirementType.NONE]: 'none',
  [VirtualHost_TlsRequirementType.EXTERNAL_ONLY]: 'external_only',
  [VirtualHost_TlsRequirementType.ALL]: 'all',
};

function compileVirtualHost(host: VirtualHost, scope: RouteScope): RuntimeVirtualHost {
  if (host.matcher !== undefined) throw new CompileError('matcher is not supported');
  const ownScope = host.requestMirrorPolicies.length > 0 ? { ...scope, mirrors: host.requestMirrorPolicies } : scope;
  const retryPolicy = host.retryPolicy;
  return {
    name: required(host.name, 'name'),
    domains: host.domains.map((domain) => domain.toLowerCase()),
    routes: host.routes.map((route, index) => at(`routes[${index}]`, () => compileRoute(route, ownScope))),
    requireTls: REQUIRE_TLS[host.requireTls],
    requestHeaders: compileHeaderMutations(host.requestHeadersToAdd, host.requestHeadersToRemove),
    responseHeaders: compileHeaderMutations(host.responseHeadersToAdd, host.responseHeadersToRemove),
    retryPolicy: retryPolicy === undefined ? undefined : at('retry_policy', () => compileRetryPolicy(retryPolicy)),
    includeRequestAttemptCount: host.includeRequestAttemptCount,
    includeAttemptCountInResponse: host.includeAttemptCountInResponse,
    filterOverrides: withCors(compileFilterOverrides(host.typedPerFilterConfig), host.cors),
    perRequestBufferLimitBytes: host.perRequestBufferLimitBytes,
  };
}

function refuseRepeatedDomains(hosts: readonly RuntimeVirtualHost[], configName: string): void {
  const seen = new Set<string>();
  for (const { name, domains } of hosts) {
    if (domains.length === 0) throw new CompileError(`virtual host ${name} has no domains`);
    for (const domain of domains) {
      if (seen.has(domain)) {
        throw new CompileError(
          `only unique values for domains are permitted. Duplicate entry of domain ${domain} in route ${configName}`,
        );
      }
      seen.add(domain);
    }
  }
}

/** Compiles a route table of RDS, or of a connection manager. */
export function compileRouteConfig(config: RouteConfiguration): RuntimeRouteConfig {
  if (config.vhds !== undefined) throw new CompileError('vhds is not supported');
  const scope: RouteScope = {
    mirrors: config.requestMirrorPolicies,
    maxDirectResponseBytes: config.maxDirectResponseBodySizeBytes ?? DEFAULT_MAX_DIRECT_RESPONSE_BYTES,
  };
  const virtualHosts = config.virtualHosts.map((host, index) =>
    at(`virtual_hosts[${index}] (${host.name})`, () => compileVirtualHost(host, scope)),
  );
  refuseRepeatedDomains(virtualHosts, config.name);
  return {
    name: config.name,
    virtualHosts,
    internalOnlyHeaders: config.internalOnlyHeaders.map((name) => name.toLowerCase()),
    requestHeaders: compileHeaderMutations(config.requestHeadersToAdd, config.requestHeadersToRemove),
    responseHeaders: compileHeaderMutations(config.responseHeadersToAdd, config.responseHeadersToRemove),
    mostSpecificHeaderMutationsWins: config.mostSpecificHeaderMutationsWins,
    ignorePortInHostMatching: config.ignorePortInHostMatching,
  };
}
