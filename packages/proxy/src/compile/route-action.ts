import { RoutingPriority } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import {
  type DirectResponseAction,
  type RedirectAction,
  RedirectAction_RedirectResponseCode,
  type RouteAction,
  RouteAction_ClusterNotFoundResponseCode,
  type RouteAction_HashPolicy,
  type RouteAction_RequestMirrorPolicy,
  type WeightedCluster,
  type WeightedCluster_ClusterWeight,
} from '@meltemi/xds/types/envoy/config/route/v3/route_components_pb.js';
import type { RegexMatchAndSubstitute } from '@meltemi/xds/types/envoy/type/matcher/v3/regex_pb.js';
import type {
  RuntimeClusterChoice,
  RuntimeDirectResponseAction,
  RuntimeForwardAction,
  RuntimeHashPolicy,
  RuntimeHostRewrite,
  RuntimeMirror,
  RuntimePathRewrite,
  RuntimeRedirectAction,
  RuntimeWeightedCluster,
} from '../config/route.ts';
import { at, CompileError, required } from './compile-error.ts';
import { durationMsOr } from './duration.ts';
import { compileHeaderMutations } from './header-mutations.ts';
import { compileFilterOverrides } from './http-filters.ts';
import { compileRegex, compileRuntimeFraction } from './matchers.ts';
import { compileRetryPolicy } from './retry-policy.ts';
import { readOptionalText } from './secret.ts';

const DEFAULT_ROUTE_TIMEOUT_MS = 15_000;

const CLUSTER_NOT_FOUND_STATUS: Readonly<Record<RouteAction_ClusterNotFoundResponseCode, number>> = {
  [RouteAction_ClusterNotFoundResponseCode.SERVICE_UNAVAILABLE]: 503,
  [RouteAction_ClusterNotFoundResponseCode.NOT_FOUND]: 404,
  [RouteAction_ClusterNotFoundResponseCode.INTERNAL_SERVER_ERROR]: 500,
};

function compileSubstitution(rewrite: RegexMatchAndSubstitute): { regex: string; substitution: string } {
  return { regex: compileRegex(rewrite.pattern), substitution: rewrite.substitution };
}

function compileWeightedCluster(choice: WeightedCluster_ClusterWeight): RuntimeWeightedCluster {
  if (choice.metadataMatch !== undefined) throw new CompileError('metadata_match is not supported');
  if (choice.clusterHeader !== '') throw new CompileError('cluster_header in weighted_clusters is not supported');
  return {
    name: required(choice.name, 'name'),
    weight: choice.weight ?? 0,
    requestHeaders: compileHeaderMutations(choice.requestHeadersToAdd, choice.requestHeadersToRemove),
    responseHeaders: compileHeaderMutations(choice.responseHeadersToAdd, choice.responseHeadersToRemove),
    hostRewriteLiteral: choice.hostRewriteSpecifier.value,
    filterOverrides: compileFilterOverrides(choice.typedPerFilterConfig),
  };
}

function compileWeightedClusters(weighted: WeightedCluster): RuntimeClusterChoice {
  const clusters = weighted.clusters.map((choice, index) =>
    at(`clusters[${index}]`, () => compileWeightedCluster(choice)),
  );
  const totalWeight = clusters.reduce((sum, { weight }) => sum + weight, 0);
  if (totalWeight === 0) throw new CompileError('sum of weights in the weighted_cluster must be greater than 0');
  return { kind: 'weighted', totalWeight, clusters };
}

function compileClusterChoice(specifier: RouteAction['clusterSpecifier']): RuntimeClusterChoice {
  switch (specifier.case) {
    case 'cluster':
      return { kind: 'cluster', name: required(specifier.value, 'cluster') };
    case 'clusterHeader':
      return { kind: 'header', headerName: specifier.value.toLowerCase() };
    case 'weightedClusters': {
      const weighted = specifier.value;
      return at('weighted_clusters', () => compileWeightedClusters(weighted));
    }
    default:
      throw new CompileError(`unsupported cluster specifier ${specifier.case ?? '(none)'}`);
  }
}

function compileHostRewrite(specifier: RouteAction['hostRewriteSpecifier']): RuntimeHostRewrite | undefined {
  switch (specifier.case) {
    case 'hostRewriteLiteral':
      return { kind: 'literal', value: specifier.value };
    case 'autoHostRewrite':
      return specifier.value.value ? { kind: 'auto' } : undefined;
    case 'hostRewriteHeader':
      return { kind: 'header', headerName: specifier.value.toLowerCase() };
    case 'hostRewritePathRegex':
      return { kind: 'path_regex', ...compileSubstitution(specifier.value) };
    default:
      return undefined;
  }
}

function compilePathRewrite(action: RouteAction): RuntimePathRewrite | undefined {
  if (action.pathRewritePolicy !== undefined) throw new CompileError('path_rewrite_policy is not supported');
  if (action.regexRewrite !== undefined) return { kind: 'regex', ...compileSubstitution(action.regexRewrite) };
  return action.prefixRewrite === '' ? undefined : { kind: 'prefix', value: action.prefixRewrite };
}

function compileHashPolicy(policy: RouteAction_HashPolicy): RuntimeHashPolicy[] {
  const { policySpecifier: specifier, terminal } = policy;
  switch (specifier.case) {
    case 'header':
      if (specifier.value.regexRewrite !== undefined) throw new CompileError('header.regex_rewrite is not supported');
      return [{ kind: 'header', name: specifier.value.headerName.toLowerCase(), terminal }];
    case 'queryParameter':
      return [{ kind: 'query', name: specifier.value.name, terminal }];
    case 'cookie': {
      const { name, ttl, path } = specifier.value;
      const attributes = specifier.value.attributes.map((attribute) => ({
        name: attribute.name,
        value: attribute.value,
      }));
      return [{ kind: 'cookie', name, ttlMs: durationMsOr(ttl, undefined), path, attributes, terminal }];
    }
    case 'connectionProperties':
      return specifier.value.sourceIp ? [{ kind: 'source_ip', terminal }] : [];
    default:
      throw new CompileError(`unsupported hash policy ${specifier.case ?? '(none)'}`);
  }
}

function compileMirror(mirror: RouteAction_RequestMirrorPolicy): RuntimeMirror {
  return {
    cluster: required(mirror.cluster, 'cluster'),
    fraction: compileRuntimeFraction(mirror.runtimeFraction, 100),
    disableShadowHostSuffix: mirror.disableShadowHostSuffixAppend,
  };
}

/** Compiles a route that forwards. */
export function compileForwardAction(
  action: RouteAction,
  inheritedMirrors: readonly RouteAction_RequestMirrorPolicy[],
): RuntimeForwardAction {
  if (action.metadataMatch !== undefined) throw new CompileError('metadata_match is not supported');
  if (action.internalRedirectPolicy !== undefined) throw new CompileError('internal_redirect_policy is not supported');
  if (action.hedgePolicy !== undefined) throw new CompileError('hedge_policy is not supported');
  const retryPolicy = action.retryPolicy;
  const mirrors = action.requestMirrorPolicies.length > 0 ? action.requestMirrorPolicies : inheritedMirrors;
  return {
    kind: 'route',
    cluster: compileClusterChoice(action.clusterSpecifier),
    clusterNotFoundStatus: CLUSTER_NOT_FOUND_STATUS[action.clusterNotFoundResponseCode],
    timeoutMs: durationMsOr(action.timeout, DEFAULT_ROUTE_TIMEOUT_MS),
    idleTimeoutMs: durationMsOr(action.idleTimeout, undefined),
    maxStreamDurationMs: durationMsOr(action.maxStreamDuration?.maxStreamDuration, undefined),
    grpcTimeoutHeaderMaxMs: durationMsOr(
      action.maxStreamDuration?.grpcTimeoutHeaderMax ?? action.maxGrpcTimeout,
      undefined,
    ),
    retryPolicy: retryPolicy === undefined ? undefined : at('retry_policy', () => compileRetryPolicy(retryPolicy)),
    pathRewrite: compilePathRewrite(action),
    hostRewrite: compileHostRewrite(action.hostRewriteSpecifier),
    appendXForwardedHost: action.appendXForwardedHost,
    hashPolicies: action.hashPolicy.flatMap(compileHashPolicy),
    mirrors: mirrors.map(compileMirror),
    upgrades: action.upgradeConfigs.map(({ upgradeType, enabled }) => ({
      type: upgradeType.toLowerCase(),
      enabled: enabled ?? true,
    })),
    priority: action.priority === RoutingPriority.HIGH ? 'high' : 'default',
  };
}

const REDIRECT_STATUS: Readonly<Record<RedirectAction_RedirectResponseCode, RuntimeRedirectAction['status']>> = {
  [RedirectAction_RedirectResponseCode.MOVED_PERMANENTLY]: 301,
  [RedirectAction_RedirectResponseCode.FOUND]: 302,
  [RedirectAction_RedirectResponseCode.SEE_OTHER]: 303,
  [RedirectAction_RedirectResponseCode.TEMPORARY_REDIRECT]: 307,
  [RedirectAction_RedirectResponseCode.PERMANENT_REDIRECT]: 308,
};

/** Compiles a route that answers with a redirect. */
export function compileRedirectAction(action: RedirectAction): RuntimeRedirectAction {
  const scheme = action.schemeRewriteSpecifier;
  const path = action.pathRewriteSpecifier;
  return {
    kind: 'redirect',
    status: REDIRECT_STATUS[action.responseCode],
    httpsRedirect: scheme.case === 'httpsRedirect' && scheme.value,
    schemeRedirect: scheme.case === 'schemeRedirect' ? scheme.value : undefined,
    hostRedirect: action.hostRedirect === '' ? undefined : action.hostRedirect,
    portRedirect: action.portRedirect === 0 ? undefined : action.portRedirect,
    pathRedirect: path.case === 'pathRedirect' ? path.value : undefined,
    prefixRewrite: path.case === 'prefixRewrite' ? path.value : undefined,
    regexRewrite: path.case === 'regexRewrite' ? compileSubstitution(path.value) : undefined,
    stripQuery: action.stripQuery,
  };
}

/** Compiles a route that answers at once. */
export function compileDirectResponse(action: DirectResponseAction, maxBodyBytes: number): RuntimeDirectResponseAction {
  const body = readOptionalText(action.body, 'body') ?? '';
  if (Buffer.byteLength(body) > maxBodyBytes) {
    throw new CompileError(`response body size is ${Buffer.byteLength(body)} bytes; maximum is ${maxBodyBytes}`);
  }
  return { kind: 'direct_response', status: action.status, body };
}
