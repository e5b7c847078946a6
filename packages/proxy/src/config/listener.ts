import type { RuntimeHttpFilter, RuntimeIstioStats } from './http-filter.ts';
import type { RuntimeCidr, RuntimeHeaderMatcher, RuntimePortPredicate } from './matchers.ts';
import type { RuntimeRouteConfig, RuntimeUpgrade } from './route.ts';
import type { RuntimeDownstreamTls } from './tls.ts';

/** Which log entries are written. */
export type RuntimeAccessLogFilter =
  | { readonly kind: 'status_code' | 'duration_ms'; readonly op: 'eq' | 'ge' | 'le'; readonly value: number }
  /** The entry has one of the flags; empty: any flag at all. */
  | { readonly kind: 'response_flag'; readonly flags: readonly string[] }
  | { readonly kind: 'header'; readonly header: RuntimeHeaderMatcher }
  | { readonly kind: 'and' | 'or'; readonly filters: readonly RuntimeAccessLogFilter[] };

/** Member of a JSON access log format: a format text, or members by key. */
export type RuntimeJsonFormat = string | { readonly [key: string]: RuntimeJsonFormat };

/** One access log. */
export interface RuntimeAccessLog {
  /** `/dev/stdout` and `/dev/stderr` are the process's own streams. */
  readonly path: string;
  readonly format: /** Includes the line end. Undefined text is Envoy's default format. */
    | { readonly kind: 'text'; readonly text: string | undefined }
    | { readonly kind: 'json'; readonly members: { readonly [key: string]: RuntimeJsonFormat } };
  readonly omitEmptyValues: boolean;
  readonly filter: RuntimeAccessLogFilter | undefined;
}

/** Which parts of the client's certificate go into x-forwarded-client-cert, besides `By` and `Hash`. */
export interface RuntimeXfccDetails {
  readonly subject: boolean;
  readonly cert: boolean;
  readonly chain: boolean;
  readonly dns: boolean;
  readonly uri: boolean;
}

/** HTTP on a filter chain. Every number had Envoy's default put in by the compiler; 0 turns a timeout off. */
export interface RuntimeHttpConnectionManager {
  readonly kind: 'http_connection_manager';
  readonly statPrefix: string;
  readonly codecType: 'auto' | 'http1' | 'http2';
  readonly routes:
    | { readonly kind: 'rds'; readonly name: string }
    | { readonly kind: 'inline'; readonly config: RuntimeRouteConfig };
  readonly httpFilters: readonly RuntimeHttpFilter[];
  /** Default `envoy`. */
  readonly serverName: string;
  readonly serverHeaderTransformation: 'overwrite' | 'append_if_absent' | 'pass_through';
  /** Default 61,440. */
  readonly maxRequestHeadersBytes: number;
  /** Default 100. */
  readonly maxHeadersCount: number;
  /** Connection without a request; default 3,600,000. */
  readonly idleTimeoutMs: number;
  /** Default 300,000. */
  readonly streamIdleTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly requestHeadersTimeoutMs: number;
  readonly maxConnectionDurationMs: number;
  readonly maxStreamDurationMs: number;
  readonly drainTimeoutMs: number;
  readonly delayedCloseTimeoutMs: number;
  /** 0 is no limit. */
  readonly maxRequestsPerConnection: number;
  readonly useRemoteAddress: boolean;
  readonly xffNumTrustedHops: number;
  readonly skipXffAppend: boolean;
  /** What counts as internal; empty: nothing. */
  readonly internalAddresses: readonly RuntimeCidr[];
  readonly generateRequestId: boolean;
  readonly preserveExternalRequestId: boolean;
  readonly alwaysSetRequestIdInResponse: boolean;
  readonly forwardClientCert: 'sanitize' | 'forward_only' | 'append_forward' | 'sanitize_set' | 'always_forward_only';
  readonly xfccDetails: RuntimeXfccDetails;
  readonly proxy100Continue: boolean;
  readonly upgrades: readonly RuntimeUpgrade[];
  readonly normalizePath: boolean;
  readonly mergeSlashes: boolean;
  readonly escapedSlashes: 'keep_unchanged' | 'reject_request' | 'unescape_and_redirect' | 'unescape_and_forward';
  readonly stripMatchingHostPort: boolean;
  readonly stripAnyHostPort: boolean;
  readonly stripTrailingHostDot: boolean;
  readonly acceptHttp10: boolean;
  readonly defaultHostForHttp10: string | undefined;
  readonly allowAbsoluteUrl: boolean;
  readonly allowChunkedLength: boolean;
  readonly headersWithUnderscores: 'allow' | 'reject_request' | 'drop_header';
  readonly via: string | undefined;
  readonly accessLogs: readonly RuntimeAccessLog[];
}

/** Bytes both ways between a connection and a cluster. */
export interface RuntimeTcpProxy {
  readonly kind: 'tcp_proxy';
  readonly statPrefix: string;
  /** One entry for a plain `cluster`. */
  readonly clusters: readonly { readonly name: string; readonly weight: number }[];
  /** Default 3,600,000; 0 turns it off. */
  readonly idleTimeoutMs: number;
  /** Default 1. */
  readonly maxConnectAttempts: number;
  readonly maxDownstreamConnectionDurationMs: number;
  /** Connections of one client go to one host, where the cluster balances by hash. */
  readonly hashesSourceIp: boolean;
  readonly accessLogs: readonly RuntimeAccessLog[];
}

/** A network filter; the last one is `http_connection_manager` or `tcp_proxy`. */
export type RuntimeNetworkFilter =
  | RuntimeHttpConnectionManager
  | RuntimeTcpProxy
  /** The cluster of the following `tcp_proxy` is the connection's SNI. */
  | { readonly kind: 'sni_cluster' }
  | { readonly kind: 'metadata_exchange' }
  | { readonly kind: 'istio_stats'; readonly stats: RuntimeIstioStats };

/** Which connections a filter chain takes; empty lists and undefined members mean "not looked at". */
export interface RuntimeFilterChainMatch {
  readonly destinationPort: number | undefined;
  readonly prefixRanges: readonly RuntimeCidr[];
  /** Lower case, exact or `*.suffix`. */
  readonly serverNames: readonly string[];
  /** `tls` or `raw_buffer`; empty: any. */
  readonly transportProtocol: string;
  readonly applicationProtocols: readonly string[];
  readonly directSourcePrefixRanges: readonly RuntimeCidr[];
  readonly sourceType: 'any' | 'same_ip_or_loopback' | 'external';
  readonly sourcePrefixRanges: readonly RuntimeCidr[];
  readonly sourcePorts: readonly number[];
}

/** What is done with the connections that match. */
export interface RuntimeFilterChain {
  readonly name: string;
  readonly match: RuntimeFilterChainMatch;
  /** Undefined: plaintext. */
  readonly tls: RuntimeDownstreamTls | undefined;
  /** 0 turns it off; TLS handshakes then have 15 s. */
  readonly transportSocketConnectTimeoutMs: number;
  readonly filters: readonly RuntimeNetworkFilter[];
}

/** What is found out about a connection before its chain is chosen. */
export interface RuntimeListenerFilters {
  readonly originalDst: boolean;
  /** Upstream connections are made from the client's address, with this SO_MARK (0: none); undefined: from our own. */
  readonly originalSrc: { readonly mark: number } | undefined;
  /** `disabled` holds for the destination ports that are not inspected. */
  readonly tlsInspector: { readonly disabled: RuntimePortPredicate | undefined } | undefined;
  readonly httpInspector: { readonly disabled: RuntimePortPredicate | undefined } | undefined;
  /** Default 15,000; 0 is no limit. */
  readonly timeoutMs: number;
  readonly continueOnTimeout: boolean;
}

/** A listener; its socket, if it has one, lives as long as its address stays configured. */
export interface RuntimeListener {
  readonly name: string;
  /** What `listener.<…>` stats are called; undefined: address and port with `:` as `_`. */
  readonly statPrefix: string | undefined;
  readonly address: string;
  readonly port: number;
  /** An IPv6 wildcard takes IPv4 connections, too. */
  readonly takesIpv4: boolean;
  /** False: reached only by hand-off from a listener with `useOriginalDst`. */
  readonly bindToPort: boolean;
  /** Takes connections to any address, which TPROXY rules hand it. */
  readonly isTransparent: boolean;
  readonly useOriginalDst: boolean;
  readonly trafficDirection: 'inbound' | 'outbound' | 'unspecified';
  readonly listenerFilters: RuntimeListenerFilters;
  readonly filterChains: readonly RuntimeFilterChain[];
  readonly defaultFilterChain: RuntimeFilterChain | undefined;
  /** Written for connections that no chain takes. */
  readonly accessLogs: readonly RuntimeAccessLog[];
  /** Default 1,048,576. */
  readonly perConnectionBufferLimitBytes: number;
  readonly connectionLimit: number | undefined;
  readonly tcpBacklog: number | undefined;
}
