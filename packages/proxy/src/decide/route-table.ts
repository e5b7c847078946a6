import type {
  RuntimeForwardAction,
  RuntimePathRewrite,
  RuntimeRoute,
  RuntimeRouteAction,
  RuntimeRouteConfig,
  RuntimeVirtualHost,
  RuntimeWeightedCluster,
} from '../config/runtime-config.ts';
import { compileRedirect, type RedirectInput } from './redirect.ts';
import type { RequestView } from './request-view.ts';
import { type CompiledRetryPolicy, compileRetryPolicy } from './retry-policy.ts';
import { compileRouteMatch } from './route-match.ts';
import { compileRegexRewrite } from './string-match.ts';
import { buildDomainIndex, type DomainIndex, matchVirtualHost, stripPort } from './virtual-host-match.ts';
import { chooseWeighted } from './weighted-choice.ts';

/** A route ready to be matched and followed. */
export interface CompiledRoute {
  readonly config: RuntimeRoute;
  readonly matches: (request: RequestView, draw: number) => boolean;
  /** Length of a matched prefix, or of a whole path; undefined for patterns. */
  readonly matchedLength: number | undefined;
  readonly forward: CompiledForward | undefined;
  readonly redirect: ((input: RedirectInput) => string) | undefined;
}

/** The compiled parts of a forwarding action. */
export interface CompiledForward {
  readonly action: RuntimeForwardAction;
  readonly retryPolicy: CompiledRetryPolicy | undefined;
  /** Path with query in, path with query out. */
  readonly rewritePath: ((path: string) => string) | undefined;
  readonly rewriteHostByPath: ((path: string) => string) | undefined;
  readonly weights: readonly number[];
}

/** A virtual host with its routes in order. */
export interface CompiledVirtualHost {
  readonly config: RuntimeVirtualHost;
  readonly routes: readonly CompiledRoute[];
}

/** The cluster that a request goes to, as its route says. */
export interface ClusterDecision {
  /** Undefined when the header that should name it is missing. */
  readonly clusterName: string | undefined;
  readonly weighted: RuntimeWeightedCluster | undefined;
}

/** What a route table answers. */
export interface RouteDecision {
  readonly table: RouteTable;
  readonly virtualHost: CompiledVirtualHost;
  readonly route: CompiledRoute;
}

function onPathOnly(path: string, rewrite: (path: string) => string): string {
  const query = path.indexOf('?');
  return query === -1 ? rewrite(path) : `${rewrite(path.slice(0, query))}${path.slice(query)}`;
}

function compilePathRewrite(rewrite: RuntimePathRewrite, matchedLength: number | undefined): (path: string) => string {
  if (rewrite.kind === 'prefix') return (path) => `${rewrite.value}${path.slice(matchedLength ?? 0)}`;
  const replace = compileRegexRewrite(rewrite.regex, rewrite.substitution);
  return (path) => onPathOnly(path, replace);
}

function compileForward(
  action: RuntimeForwardAction,
  virtualHost: RuntimeVirtualHost,
  matchedLength: number | undefined,
): CompiledForward {
  const retryPolicy = action.retryPolicy ?? virtualHost.retryPolicy;
  const { hostRewrite, pathRewrite, cluster } = action;
  return {
    action,
    retryPolicy: retryPolicy === undefined ? undefined : compileRetryPolicy(retryPolicy),
    rewritePath: pathRewrite === undefined ? undefined : compilePathRewrite(pathRewrite, matchedLength),
    rewriteHostByPath:
      hostRewrite?.kind === 'path_regex' ? compileRegexRewrite(hostRewrite.regex, hostRewrite.substitution) : undefined,
    weights: cluster.kind === 'weighted' ? cluster.clusters.map(({ weight }) => weight) : [],
  };
}

function compileRoute(config: RuntimeRoute, virtualHost: RuntimeVirtualHost): CompiledRoute {
  const { path } = config.match;
  const matchedLength = path.kind === 'regex' || path.kind === 'connect' ? undefined : path.value.length;
  const action: RuntimeRouteAction = config.action;
  return {
    config,
    matches: compileRouteMatch(config.match),
    matchedLength,
    forward: action.kind === 'route' ? compileForward(action, virtualHost, matchedLength) : undefined,
    redirect: action.kind === 'redirect' ? compileRedirect(action) : undefined,
  };
}

/** A route configuration ready to be asked; immutable, so requests keep the one they began with. */
export class RouteTable {
  readonly config: RuntimeRouteConfig;
  readonly #index: DomainIndex<CompiledVirtualHost>;

  /** @throws RE2JSSyntaxException for a pattern that is not RE2; the compiler of resources refuses those earlier. */
  constructor(config: RuntimeRouteConfig) {
    this.config = config;
    this.#index = buildDomainIndex(
      config.virtualHosts.map((virtualHost) => ({
        domains: virtualHost.domains,
        value: {
          config: virtualHost,
          routes: virtualHost.routes.map((route) => compileRoute(route, virtualHost)),
        },
      })),
    );
  }

  /**
   * Finds the route of a request.
   *
   * @param draw In [0, 1), for routes that take a share of requests.
   * @returns Undefined when no virtual host or none of its routes takes the request.
   */
  match(request: RequestView, draw: number): RouteDecision | undefined {
    const authority = (request.authority ?? '').toLowerCase();
    const host = this.config.ignorePortInHostMatching ? stripPort(authority) : authority;
    const virtualHost = matchVirtualHost(this.#index, host);
    if (virtualHost === undefined) return undefined;
    for (const route of virtualHost.routes) {
      if (route.matches(request, draw)) return { table: this, virtualHost, route };
    }
    return undefined;
  }
}

/**
 * Chooses the cluster of a request that a forwarding route took.
 *
 * @param draw In [0, 1); kept for the whole request, so that retries and mirrors stay with the same choice.
 */
export function chooseCluster(
  { action, weights }: CompiledForward,
  request: RequestView,
  draw: number,
): ClusterDecision {
  const { cluster } = action;
  switch (cluster.kind) {
    case 'cluster':
      return { clusterName: cluster.name, weighted: undefined };
    case 'header':
      return { clusterName: request.headers.get(cluster.headerName), weighted: undefined };
    default: {
      const weighted = cluster.clusters[chooseWeighted(weights, cluster.totalWeight, draw)];
      return { clusterName: weighted?.name, weighted };
    }
  }
}
