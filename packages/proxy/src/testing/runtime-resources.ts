import type {
  RuntimeCluster,
  RuntimeEndpoints,
  RuntimeFilterChain,
  RuntimeFilterChainMatch,
  RuntimeForwardAction,
  RuntimeHeaderMutations,
  RuntimeHost,
  RuntimeHttpConnectionManager,
  RuntimeListener,
  RuntimeRetryPolicy,
  RuntimeRoute,
  RuntimeRouteConfig,
  RuntimeTcpProxy,
  RuntimeVirtualHost,
} from '../config/runtime-config.ts';

/** Runtime resources with Envoy's defaults, for tests and benchmarks: each takes what differs. */

export const NO_HEADER_MUTATIONS: RuntimeHeaderMutations = { remove: [], add: [] };

export const ANY_CONNECTION: RuntimeFilterChainMatch = {
  destinationPort: undefined,
  prefixRanges: [],
  serverNames: [],
  transportProtocol: '',
  applicationProtocols: [],
  directSourcePrefixRanges: [],
  sourceType: 'any',
  sourcePrefixRanges: [],
  sourcePorts: [],
};

export function retryPolicyFixture(fields: Partial<RuntimeRetryPolicy> = {}): RuntimeRetryPolicy {
  return {
    retryOn: ['5xx'],
    numRetries: 1,
    perTryTimeoutMs: undefined,
    perTryIdleTimeoutMs: undefined,
    retriableStatusCodes: [],
    retriableHeaders: [],
    retriableRequestHeaders: [],
    baseIntervalMs: 25,
    maxIntervalMs: 250,
    avoidPreviousHosts: false,
    hostSelectionMaxAttempts: 1,
    ...fields,
  };
}

export function forwardFixture(cluster: string, fields: Partial<RuntimeForwardAction> = {}): RuntimeForwardAction {
  return {
    kind: 'route',
    cluster: { kind: 'cluster', name: cluster },
    clusterNotFoundStatus: 503,
    timeoutMs: 15_000,
    idleTimeoutMs: undefined,
    maxStreamDurationMs: undefined,
    grpcTimeoutHeaderMaxMs: undefined,
    retryPolicy: undefined,
    pathRewrite: undefined,
    hostRewrite: undefined,
    appendXForwardedHost: false,
    hashPolicies: [],
    mirrors: [],
    upgrades: [],
    priority: 'default',
    ...fields,
  };
}

export function routeFixture(fields: Partial<RuntimeRoute> & Pick<RuntimeRoute, 'action'>): RuntimeRoute {
  return {
    name: '',
    match: {
      path: { kind: 'prefix', value: '/', caseSensitive: true },
      headers: [],
      queryParameters: [],
      fraction: undefined,
      grpc: false,
    },
    requestHeaders: NO_HEADER_MUTATIONS,
    responseHeaders: NO_HEADER_MUTATIONS,
    filterOverrides: undefined,
    perRequestBufferLimitBytes: undefined,
    metadata: {},
    decoratorOperation: undefined,
    ...fields,
  };
}

export function virtualHostFixture(fields: Partial<RuntimeVirtualHost> = {}): RuntimeVirtualHost {
  return {
    name: 'default',
    domains: ['*'],
    routes: [],
    requireTls: 'none',
    requestHeaders: NO_HEADER_MUTATIONS,
    responseHeaders: NO_HEADER_MUTATIONS,
    retryPolicy: undefined,
    includeRequestAttemptCount: false,
    includeAttemptCountInResponse: false,
    filterOverrides: undefined,
    perRequestBufferLimitBytes: undefined,
    ...fields,
  };
}

export function routeConfigFixture(fields: Partial<RuntimeRouteConfig> = {}): RuntimeRouteConfig {
  return {
    name: 'routes',
    virtualHosts: [],
    internalOnlyHeaders: [],
    requestHeaders: NO_HEADER_MUTATIONS,
    responseHeaders: NO_HEADER_MUTATIONS,
    mostSpecificHeaderMutationsWins: false,
    ignorePortInHostMatching: false,
    ...fields,
  };
}

export function httpFixture(fields: Partial<RuntimeHttpConnectionManager> = {}): RuntimeHttpConnectionManager {
  return {
    kind: 'http_connection_manager',
    statPrefix: 'test',
    codecType: 'auto',
    routes: { kind: 'rds', name: 'routes' },
    httpFilters: [{ name: 'envoy.filters.http.router', kind: 'router', disabled: false, suppressEnvoyHeaders: false }],
    serverName: 'envoy',
    serverHeaderTransformation: 'overwrite',
    maxRequestHeadersBytes: 61_440,
    maxHeadersCount: 100,
    idleTimeoutMs: 3_600_000,
    streamIdleTimeoutMs: 300_000,
    requestTimeoutMs: 0,
    requestHeadersTimeoutMs: 0,
    maxConnectionDurationMs: 0,
    maxStreamDurationMs: 0,
    drainTimeoutMs: 5000,
    delayedCloseTimeoutMs: 1000,
    maxRequestsPerConnection: 0,
    useRemoteAddress: false,
    xffNumTrustedHops: 0,
    skipXffAppend: false,
    internalAddresses: [],
    generateRequestId: true,
    preserveExternalRequestId: false,
    alwaysSetRequestIdInResponse: false,
    forwardClientCert: 'sanitize',
    xfccDetails: { subject: false, cert: false, chain: false, dns: false, uri: false },
    proxy100Continue: false,
    upgrades: [],
    normalizePath: false,
    mergeSlashes: false,
    escapedSlashes: 'keep_unchanged',
    stripMatchingHostPort: false,
    stripAnyHostPort: false,
    stripTrailingHostDot: false,
    acceptHttp10: false,
    defaultHostForHttp10: undefined,
    allowAbsoluteUrl: true,
    allowChunkedLength: false,
    headersWithUnderscores: 'allow',
    via: undefined,
    accessLogs: [],
    ...fields,
  };
}

export function tcpProxyFixture(cluster: string, fields: Partial<RuntimeTcpProxy> = {}): RuntimeTcpProxy {
  return {
    kind: 'tcp_proxy',
    statPrefix: 'test',
    clusters: [{ name: cluster, weight: 1 }],
    idleTimeoutMs: 3_600_000,
    maxConnectAttempts: 1,
    maxDownstreamConnectionDurationMs: 0,
    hashesSourceIp: false,
    accessLogs: [],
    ...fields,
  };
}

export function filterChainFixture(
  fields: Partial<RuntimeFilterChain> & Pick<RuntimeFilterChain, 'filters'>,
): RuntimeFilterChain {
  return { name: 'chain', match: ANY_CONNECTION, tls: undefined, transportSocketConnectTimeoutMs: 0, ...fields };
}

export function listenerFixture(fields: Partial<RuntimeListener> = {}): RuntimeListener {
  return {
    name: 'listener',
    statPrefix: undefined,
    address: '127.0.0.1',
    port: 0,
    takesIpv4: false,
    bindToPort: true,
    isTransparent: false,
    useOriginalDst: false,
    trafficDirection: 'unspecified',
    listenerFilters: {
      originalDst: false,
      originalSrc: undefined,
      tlsInspector: undefined,
      httpInspector: undefined,
      timeoutMs: 15_000,
      continueOnTimeout: false,
    },
    filterChains: [],
    defaultFilterChain: undefined,
    accessLogs: [],
    perConnectionBufferLimitBytes: 1_048_576,
    connectionLimit: undefined,
    tcpBacklog: undefined,
    ...fields,
  };
}

const DEFAULT_THRESHOLDS = {
  maxConnections: 1024,
  maxPendingRequests: 1024,
  maxRequests: 1024,
  maxRetries: 3,
  retryBudget: undefined,
} as const;

export function clusterFixture(name: string, fields: Partial<RuntimeCluster> = {}): RuntimeCluster {
  return {
    name,
    altStatName: undefined,
    discovery: { kind: 'eds' },
    endpointsName: name,
    lbPolicy: { kind: 'round_robin' },
    localityWeighted: false,
    panicThresholdPercent: 50,
    connectTimeoutMs: 5000,
    perConnectionBufferLimitBytes: 1_048_576,
    breakers: { default: DEFAULT_THRESHOLDS, high: DEFAULT_THRESHOLDS },
    breakerSlot: 0,
    transport: { kind: 'plaintext' },
    transportMatches: [],
    protocol: 'http1',
    bindSourceAddresses: [],
    tcpKeepalive: undefined,
    outlierDetection: undefined,
    maxRequestsPerConnection: 0,
    idleTimeoutMs: 3_600_000,
    maxConnectionDurationMs: 0,
    metadata: {},
    ...fields,
  };
}

export function hostFixture(port: number, fields: Partial<RuntimeHost> = {}): RuntimeHost {
  return {
    address: { kind: 'tcp', address: '127.0.0.1', port },
    hostname: '',
    weight: 1,
    health: 'healthy',
    metadata: {},
    ...fields,
  };
}

export function endpointsFixture(name: string, hosts: readonly RuntimeHost[]): RuntimeEndpoints {
  return {
    name,
    overprovisioningPercent: 140,
    localities: [{ region: '', zone: '', subZone: '', priority: 0, weight: 1, hosts }],
  };
}
