import type { RuntimeCluster } from './cluster.ts';
import type { RuntimeEndpoints } from './endpoints.ts';
import type { RuntimeListener } from './listener.ts';
import type { RuntimeStringMatcher } from './matchers.ts';
import type { RuntimeRouteConfig } from './route.ts';
import type { RuntimeSecret } from './tls.ts';

/** What this proxy says about itself to its peers and in metrics. */
export interface RuntimeNode {
  /** Envoy's `node.id`, sent as `x-envoy-peer-metadata-id`. */
  readonly id: string;
  readonly cluster: string;
  /** Sent as `x-envoy-peer-metadata`: base64 of the deterministic protobuf Struct. Empty: none is sent. */
  readonly peerMetadata: string;
  readonly workloadName: string;
  readonly namespace: string;
  readonly clusterId: string;
  /** Pod labels; `app`, `version` and the canonical service labels are read. */
  readonly labels: Readonly<Record<string, string>>;
  readonly hostname: string;
}

/** Which stats exist at all (`stats_matcher`). */
export type RuntimeStatsMatcher =
  | { readonly kind: 'inclusion' | 'exclusion'; readonly patterns: readonly RuntimeStringMatcher[] }
  | { readonly kind: 'reject_all' };

/** Bounds of the buckets of some histograms (`histogram_bucket_settings`). */
export interface RuntimeHistogramSettings {
  /** Of flat names. */
  readonly match: RuntimeStringMatcher;
  /** Ascending, not empty. */
  readonly bounds: readonly number[];
}

/** `workerData` of a worker: what does not change while it lives. */
export interface WorkerInit {
  readonly workerIndex: number;
  readonly node: RuntimeNode;
  /** Shared by all workers; rows by `RuntimeCluster.breakerSlot`, made by `createBreakerSlots`. */
  readonly breakerCells: SharedArrayBuffer;
  /** 48 bytes, the same in all workers, so that a session resumes on any of them. */
  readonly ticketKeys: Uint8Array;
  /** SO_MARK of upstream sockets; undefined: not set. */
  readonly upstreamMark: number | undefined;
  /** How often buffered access log lines are written. */
  readonly accessLogFlushIntervalMs: number;
  readonly drainStrategy: 'gradual' | 'immediate';
  readonly drainTimeMs: number;
  readonly statsMatcher: RuntimeStatsMatcher | undefined;
  /** Where none matches, Envoy's bounds count. */
  readonly histogramSettings: readonly RuntimeHistogramSettings[];
  /** Seeds the worker's random numbers, with its index added, so that tests repeat; undefined: they differ each time. */
  readonly randomSeed: number | undefined;
  /** File for ejections of hosts; undefined: they are not written. */
  readonly outlierLogPath: string | undefined;
}

/** Changes of one kind of resource, by name: removals first, then upserts, so a name in both ends up present. */
export interface ResourceDelta<Resource> {
  readonly remove: readonly string[];
  readonly upsert: readonly Resource[];
}

/**
 * One change of configuration. It is applied as a whole, in the order of the members, between two events: no request sees
 * half of it. The first update of a worker is the whole configuration.
 */
export interface ConfigUpdate {
  /** Rises by one with each update; echoed in the acknowledgement. */
  readonly revision: number;
  readonly secrets?: ResourceDelta<RuntimeSecret>;
  readonly endpoints?: ResourceDelta<RuntimeEndpoints>;
  readonly clusters?: ResourceDelta<RuntimeCluster>;
  readonly routes?: ResourceDelta<RuntimeRouteConfig>;
  readonly listeners?: ResourceDelta<RuntimeListener>;
}

/** What a worker could not put into effect; the rest of the update is in effect, the resource's old state serves on. */
export interface ConfigProblem {
  readonly kind: 'secret' | 'cluster' | 'endpoints' | 'route' | 'listener';
  readonly name: string;
  readonly message: string;
}

/** Which listeners are meant. */
export type DrainScope = 'all' | 'inbound';

/** Main to worker. */
export type MainMessage =
  | { readonly type: 'config'; readonly update: ConfigUpdate }
  /** From now on responses ask clients to go; with `stopAccepting`, listening sockets close at once. */
  | { readonly type: 'drain'; readonly scope: DrainScope; readonly stopAccepting: boolean }
  /** `/healthcheck/fail` and `/healthcheck/ok`. */
  | { readonly type: 'healthcheck'; readonly failed: boolean }
  | { readonly type: 'ticket_keys'; readonly ticketKeys: Uint8Array }
  /** Another worker ejected a host, or took one back. */
  | HostEjection
  | { readonly type: 'describe_clusters'; readonly requestId: number }
  /** SIGUSR1. */
  | { readonly type: 'reopen_logs' }
  /** Close everything and exit; after a drain this loses nothing. */
  | { readonly type: 'stop' };

/** A host was taken out of balancing by outlier detection, or is back. */
export interface HostEjection {
  readonly type: 'host_ejection';
  readonly cluster: string;
  /** `ip:port`. */
  readonly host: string;
  readonly ejected: boolean;
  /** How long, when ejected. */
  readonly durationMs: number;
}

/** One host as a worker sees it; the main thread adds up the numbers of all workers. */
export interface HostReport {
  readonly address: string;
  readonly hostname: string;
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
  readonly priority: number;
  readonly weight: number;
  readonly health: 'healthy' | 'degraded' | 'unhealthy' | 'draining';
  readonly ejected: boolean;
  readonly stats: {
    readonly cxActive: number;
    readonly cxConnectFail: number;
    readonly cxTotal: number;
    readonly rqActive: number;
    readonly rqError: number;
    readonly rqSuccess: number;
    readonly rqTimeout: number;
    readonly rqTotal: number;
  };
}

/** One cluster's hosts. */
export interface ClusterReport {
  readonly name: string;
  readonly hosts: readonly HostReport[];
}

/** A stat that came into being. Its cells start at `index` of page `page`. */
export interface StatDefinition {
  /** Envoy's dotted name; for metrics with labels of their own the bare metric name (`istio_requests_total`). */
  readonly name: string;
  readonly kind: 'counter' | 'gauge' | 'histogram';
  /** Present on Istio's metrics: they appear without `envoy_` and with these labels. */
  readonly labels: Readonly<Record<string, string>> | undefined;
  readonly page: number;
  /** Counter and gauge: one cell. Histogram: sum, count, then one cell per bound and one for what is above the last. */
  readonly index: number;
  readonly bounds: readonly number[] | undefined;
}

/** Worker to main. */
export type WorkerMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'applied'; readonly revision: number; readonly problems: readonly ConfigProblem[] }
  /** A new page of stat cells (`Float64Array` over it); written by this worker only, read by the main thread at any time. */
  | { readonly type: 'stat_page'; readonly page: number; readonly cells: SharedArrayBuffer }
  | { readonly type: 'stat_definitions'; readonly definitions: readonly StatDefinition[] }
  | { readonly type: 'clusters'; readonly requestId: number; readonly clusters: readonly ClusterReport[] }
  /** To be passed on to the other workers. */
  | HostEjection
  /** No connection is left on the drained listeners. */
  | { readonly type: 'drained'; readonly scope: DrainScope }
  /** A line for the process's log. */
  | {
      readonly type: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly scope: string;
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>>;
    };
