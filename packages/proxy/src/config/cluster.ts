import type { RuntimeMetadata } from './endpoints.ts';
import type { RuntimeUpstreamTls } from './tls.ts';

/** Where a cluster's hosts come from. For all but `original_dst` they arrive as `RuntimeEndpoints`. */
export type RuntimeDiscovery =
  | { readonly kind: 'static' | 'eds' | 'dns' }
  | {
      /** The host is the connection's original destination. */
      readonly kind: 'original_dst';
      /** Take the destination from `x-envoy-original-dst-host` when present. */
      readonly useHttpHeader: boolean;
      readonly upstreamPortOverride: number | undefined;
    };

/** How the share of a new host grows: to all of its weight within the window. */
export interface RuntimeSlowStart {
  readonly windowMs: number;
  /** 1 is linear; more is quicker at first. */
  readonly aggression: number;
  /** Least share, percent of the weight. */
  readonly minWeightPercent: number;
}

/** When and how dead connections are noticed by the kernel. */
export interface RuntimeTcpKeepalive {
  /** Quiet time before the first probe. */
  readonly timeMs: number;
  /** Between probes; undefined: the system's choice. */
  readonly intervalMs: number | undefined;
  /** Unanswered ones that end the connection; undefined: the system's choice. */
  readonly probes: number | undefined;
}

/** How a host is chosen; rings and tables hash with xxHash64. */
export type RuntimeLbPolicy =
  | { readonly kind: 'random' }
  | { readonly kind: 'round_robin'; readonly slowStart?: RuntimeSlowStart | undefined }
  | {
      readonly kind: 'least_request';
      readonly choiceCount: number;
      readonly activeRequestBias: number;
      readonly slowStart?: RuntimeSlowStart | undefined;
    }
  | { readonly kind: 'ring_hash'; readonly minimumRingSize: number; readonly maximumRingSize: number }
  | { readonly kind: 'maglev'; readonly tableSize: number };

/** Limits of one routing priority; Envoy's defaults are 1024, 1024, 1024, 3. `Infinity` is not cloned well: use 4294967295. */
export interface RuntimeThresholds {
  readonly maxConnections: number;
  readonly maxPendingRequests: number;
  readonly maxRequests: number;
  readonly maxRetries: number;
  /** Takes the place of `maxRetries`: `percent` of active and pending requests, at least `minRetryConcurrency`. */
  readonly retryBudget: { readonly percent: number; readonly minRetryConcurrency: number } | undefined;
}

/** Passive health checking. Absent numbers were given Envoy's defaults by the compiler. */
export interface RuntimeOutlierDetection {
  readonly intervalMs: number;
  readonly baseEjectionTimeMs: number;
  readonly maxEjectionTimeMs: number;
  readonly maxEjectionPercent: number;
  /** 0 turns the detector off. */
  readonly consecutive5xx: number;
  readonly enforcingConsecutive5xxPercent: number;
  readonly consecutiveGatewayFailure: number;
  readonly enforcingConsecutiveGatewayFailurePercent: number;
  readonly consecutiveLocalOriginFailure: number;
  readonly enforcingConsecutiveLocalOriginFailurePercent: number;
  readonly splitExternalLocalOriginErrors: boolean;
}

/** How bytes travel to a host. */
export type RuntimeTransport =
  | { readonly kind: 'plaintext' }
  | { readonly kind: 'tls'; readonly tls: RuntimeUpstreamTls };

/** A transport for the hosts whose `envoy.transport_socket_match` metadata holds every pair of `match`. First match wins. */
export interface RuntimeTransportMatch {
  readonly name: string;
  readonly match: Readonly<Record<string, string>>;
  readonly transport: RuntimeTransport;
}

/** A group of upstream hosts that serve the same thing. */
export interface RuntimeCluster {
  readonly name: string;
  /** What stats and logs call it, when that differs from `name` (`alt_stat_name`). */
  readonly altStatName: string | undefined;
  readonly discovery: RuntimeDiscovery;
  /** Key of its `RuntimeEndpoints`: the EDS service name, or the cluster's own name. */
  readonly endpointsName: string;
  readonly lbPolicy: RuntimeLbPolicy;
  /** Spread over localities by their weights. */
  readonly localityWeighted: boolean;
  /** Default 50; 0 turns panic off. */
  readonly panicThresholdPercent: number;
  readonly connectTimeoutMs: number;
  readonly perConnectionBufferLimitBytes: number;
  readonly breakers: { readonly default: RuntimeThresholds; readonly high: RuntimeThresholds };
  /** This cluster's row in the shared breaker cells, given by the main thread (`createBreakerSlots`). */
  readonly breakerSlot: number;
  /** For hosts that no match takes. */
  readonly transport: RuntimeTransport;
  readonly transportMatches: readonly RuntimeTransportMatch[];
  readonly protocol: 'http1' | 'http2' | 'use_downstream';
  /** Source addresses of upstream sockets, as Istio's inbound clusters have 127.0.0.6; empty: the system's choice. */
  readonly bindSourceAddresses: readonly string[];
  readonly tcpKeepalive: RuntimeTcpKeepalive | undefined;
  readonly outlierDetection: RuntimeOutlierDetection | undefined;
  /** 0 is no limit. */
  readonly maxRequestsPerConnection: number;
  /** Default 3,600,000; 0 turns it off. */
  readonly idleTimeoutMs: number;
  /** A connection gets no new request after this time; 0 is no limit. */
  readonly maxConnectionDurationMs: number;
  /** Used here: `istio` (`services`, `external`, `disable_mx`). */
  readonly metadata: RuntimeMetadata;
}
