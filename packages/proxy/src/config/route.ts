import type { RuntimeMetadata } from './endpoints.ts';
import type { RuntimeCorsPolicy, RuntimeFault } from './http-filter.ts';
import type { RuntimeFraction, RuntimeHeaderMatcher, RuntimeQueryParameterMatcher } from './matchers.ts';

/** One header to add. `value` is a substitution format (`%REQ(x)%`, `%%`). */
export interface RuntimeHeaderValueOption {
  /** Lower case. */
  readonly name: string;
  readonly value: string;
  readonly action: 'append_if_exists_or_add' | 'add_if_absent' | 'overwrite_if_exists_or_add' | 'overwrite_if_exists';
  readonly keepEmptyValue: boolean;
}

/** Changes to headers at one level: removals first. */
export interface RuntimeHeaderMutations {
  /** Lower case. */
  readonly remove: readonly string[];
  readonly add: readonly RuntimeHeaderValueOption[];
}

/** Which paths a route takes. */
export type RuntimePathMatch =
  | {
      readonly kind: 'prefix' | 'path' | 'path_separated_prefix';
      readonly value: string;
      /** Default true. */
      readonly caseSensitive: boolean;
    }
  /** Whole path without the query, RE2. */
  | { readonly kind: 'regex'; readonly regex: string }
  | { readonly kind: 'connect' };

/** All conditions of a route; every one must hold. */
export interface RuntimeRouteMatch {
  readonly path: RuntimePathMatch;
  readonly headers: readonly RuntimeHeaderMatcher[];
  readonly queryParameters: readonly RuntimeQueryParameterMatcher[];
  readonly fraction: RuntimeFraction | undefined;
  /** Only requests with a gRPC content type. */
  readonly grpc: boolean;
}

/** Settings of HTTP filters that differ here; undefined members inherit from the less specific level. */
export interface RuntimeFilterOverrides {
  /** Names of filters that are off here. */
  readonly disabled: readonly string[];
  readonly fault: RuntimeFault | undefined;
  readonly cors: RuntimeCorsPolicy | undefined;
}

/** One choice of a weighted route. */
export interface RuntimeWeightedCluster {
  readonly name: string;
  readonly weight: number;
  readonly requestHeaders: RuntimeHeaderMutations;
  readonly responseHeaders: RuntimeHeaderMutations;
  readonly hostRewriteLiteral: string | undefined;
  readonly filterOverrides: RuntimeFilterOverrides | undefined;
}

/** How a route names its cluster. */
export type RuntimeClusterChoice =
  | { readonly kind: 'cluster'; readonly name: string }
  | { readonly kind: 'header'; readonly headerName: string }
  | { readonly kind: 'weighted'; readonly totalWeight: number; readonly clusters: readonly RuntimeWeightedCluster[] };

/** How the Host header is rewritten. */
export type RuntimeHostRewrite =
  | { readonly kind: 'literal'; readonly value: string }
  | { readonly kind: 'auto' }
  | { readonly kind: 'header'; readonly headerName: string }
  | { readonly kind: 'path_regex'; readonly regex: string; readonly substitution: string };

/** How the path is rewritten; the query is kept. */
export type RuntimePathRewrite =
  | { readonly kind: 'prefix'; readonly value: string }
  /** Every match of the RE2 pattern; `\1` names a group. */
  | { readonly kind: 'regex'; readonly regex: string; readonly substitution: string };

/** The conditions of `x-envoy-retry-on` that the router knows. */
export type RuntimeRetryCondition =
  | '5xx'
  | 'gateway-error'
  | 'reset'
  | 'reset-before-request'
  | 'connect-failure'
  | 'refused-stream'
  | 'envoy-ratelimited'
  | 'retriable-4xx'
  | 'retriable-status-codes'
  | 'retriable-headers'
  | 'cancelled'
  | 'deadline-exceeded'
  | 'internal'
  | 'resource-exhausted'
  | 'unavailable';

/** When and how often a request is tried again. */
export interface RuntimeRetryPolicy {
  readonly retryOn: readonly RuntimeRetryCondition[];
  /** Default 1. */
  readonly numRetries: number;
  /** Undefined: the route's timeout. 0 turns it off. */
  readonly perTryTimeoutMs: number | undefined;
  readonly perTryIdleTimeoutMs: number | undefined;
  readonly retriableStatusCodes: readonly number[];
  readonly retriableHeaders: readonly RuntimeHeaderMatcher[];
  /** Only requests that match one of these may be retried; empty: all. */
  readonly retriableRequestHeaders: readonly RuntimeHeaderMatcher[];
  /** Default 25. */
  readonly baseIntervalMs: number;
  /** Default 10 × base. */
  readonly maxIntervalMs: number;
  readonly avoidPreviousHosts: boolean;
  /** Default 1. */
  readonly hostSelectionMaxAttempts: number;
}

/** A copy of requests to another cluster, whose answers are thrown away. */
export interface RuntimeMirror {
  readonly cluster: string;
  readonly fraction: RuntimeFraction;
  readonly disableShadowHostSuffix: boolean;
}

/** One source of the hash that consistent balancing goes by. */
export type RuntimeHashPolicy = { readonly terminal: boolean } & (
  | { readonly kind: 'header' | 'query'; readonly name: string }
  | {
      readonly kind: 'cookie';
      readonly name: string;
      /** Undefined: none is made for a client that sends none. 0: it lasts as long as the client's session. */
      readonly ttlMs: number | undefined;
      readonly path: string;
      readonly attributes: readonly { readonly name: string; readonly value: string }[];
    }
  | { readonly kind: 'source_ip' }
);

/** Send the request to a cluster. */
export interface RuntimeForwardAction {
  readonly kind: 'route';
  readonly cluster: RuntimeClusterChoice;
  /** Default 503. */
  readonly clusterNotFoundStatus: number;
  /** Whole response; default 15,000, 0 is none. */
  readonly timeoutMs: number;
  /** Undefined: the connection manager's stream idle timeout. 0 is none. */
  readonly idleTimeoutMs: number | undefined;
  readonly maxStreamDurationMs: number | undefined;
  /** Undefined: `grpc-timeout` is not looked at. 0: without a cap. */
  readonly grpcTimeoutHeaderMaxMs: number | undefined;
  /** Undefined: the virtual host's. */
  readonly retryPolicy: RuntimeRetryPolicy | undefined;
  readonly pathRewrite: RuntimePathRewrite | undefined;
  readonly hostRewrite: RuntimeHostRewrite | undefined;
  readonly appendXForwardedHost: boolean;
  readonly hashPolicies: readonly RuntimeHashPolicy[];
  readonly mirrors: readonly RuntimeMirror[];
  /** Overrides the connection manager's list, by lower-case type. */
  readonly upgrades: readonly RuntimeUpgrade[];
  readonly priority: 'default' | 'high';
}

/** Whether a protocol upgrade (`websocket`) is allowed. */
export interface RuntimeUpgrade {
  /** Lower case. */
  readonly type: string;
  readonly enabled: boolean;
}

/** Answer with a redirect. */
export interface RuntimeRedirectAction {
  readonly kind: 'redirect';
  readonly status: 301 | 302 | 303 | 307 | 308;
  readonly httpsRedirect: boolean;
  readonly schemeRedirect: string | undefined;
  readonly hostRedirect: string | undefined;
  readonly portRedirect: number | undefined;
  readonly pathRedirect: string | undefined;
  readonly prefixRewrite: string | undefined;
  readonly regexRewrite: { readonly regex: string; readonly substitution: string } | undefined;
  readonly stripQuery: boolean;
}

/** Answer at once. */
export interface RuntimeDirectResponseAction {
  readonly kind: 'direct_response';
  readonly status: number;
  readonly body: string;
}

/** What a route does. */
export type RuntimeRouteAction = RuntimeForwardAction | RuntimeRedirectAction | RuntimeDirectResponseAction;

/** One route of a virtual host. */
export interface RuntimeRoute {
  /** For logs; may be empty. */
  readonly name: string;
  readonly match: RuntimeRouteMatch;
  readonly action: RuntimeRouteAction;
  readonly requestHeaders: RuntimeHeaderMutations;
  readonly responseHeaders: RuntimeHeaderMutations;
  readonly filterOverrides: RuntimeFilterOverrides | undefined;
  readonly perRequestBufferLimitBytes: number | undefined;
  readonly metadata: RuntimeMetadata;
  readonly decoratorOperation: string | undefined;
}

/** Routes of a set of domains. */
export interface RuntimeVirtualHost {
  readonly name: string;
  /** Lower case: exact, `*.suffix`, `prefix.*` or `*`; unique in the route config. */
  readonly domains: readonly string[];
  readonly routes: readonly RuntimeRoute[];
  readonly requireTls: 'none' | 'external_only' | 'all';
  readonly requestHeaders: RuntimeHeaderMutations;
  readonly responseHeaders: RuntimeHeaderMutations;
  readonly retryPolicy: RuntimeRetryPolicy | undefined;
  readonly includeRequestAttemptCount: boolean;
  readonly includeAttemptCountInResponse: boolean;
  readonly filterOverrides: RuntimeFilterOverrides | undefined;
  readonly perRequestBufferLimitBytes: number | undefined;
}

/** A route table, from RDS or inline. */
export interface RuntimeRouteConfig {
  readonly name: string;
  readonly virtualHosts: readonly RuntimeVirtualHost[];
  /** Lower case; removed from requests that are not internal. */
  readonly internalOnlyHeaders: readonly string[];
  readonly requestHeaders: RuntimeHeaderMutations;
  readonly responseHeaders: RuntimeHeaderMutations;
  readonly mostSpecificHeaderMutationsWins: boolean;
  readonly ignorePortInHostMatching: boolean;
}
