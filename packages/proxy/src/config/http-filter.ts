import type { ContentEncoding } from '../decide/content-encoding.ts';
import type { RuntimeFraction, RuntimeHeaderMatcher, RuntimeStringMatcher } from './matchers.ts';

/** Failures injected on purpose. */
export interface RuntimeFault {
  readonly delay: { readonly fixedMs: number; readonly fraction: RuntimeFraction } | undefined;
  readonly abort:
    | {
        readonly httpStatus: number | undefined;
        readonly grpcStatus: number | undefined;
        readonly fraction: RuntimeFraction;
      }
    | undefined;
  /** Only requests that match all. */
  readonly headers: readonly RuntimeHeaderMatcher[];
  /** Only requests to this cluster; empty: any. */
  readonly upstreamCluster: string;
  readonly maxActiveFaults: number | undefined;
}

/** Cross-origin rules of a virtual host or route. Texts are header values; undefined leaves the header out. */
export interface RuntimeCorsPolicy {
  readonly enabled: boolean;
  readonly allowOrigins: readonly RuntimeStringMatcher[];
  readonly allowMethods: string | undefined;
  readonly allowHeaders: string | undefined;
  readonly exposeHeaders: string | undefined;
  readonly maxAge: string | undefined;
  readonly allowCredentials: boolean;
  readonly forwardNotMatchingPreflights: boolean;
}

/** How Istio's stats filter counts. Label values come from the worker's node and the exchanged peer metadata. */
export interface RuntimeIstioStats {
  readonly reporter: 'source' | 'destination' | 'waypoint';
  readonly disableHostHeaderFallback: boolean;
  /** Metric overrides; names without the `istio_` prefix, `''` meaning all metrics. */
  readonly overrides: readonly {
    readonly metric: string;
    readonly drop: boolean;
    readonly tagsToRemove: readonly string[];
  }[];
}

/** Where peer metadata is taken from and sent to (`io.istio.http.peer_metadata`). */
export interface RuntimePeerMetadata {
  /** Reads and strips the request's headers. */
  readonly downstreamDiscovery: boolean;
  /** Reads and strips the response's headers. */
  readonly upstreamDiscovery: boolean;
  /** Adds own headers to the response, when the request had some. */
  readonly downstreamPropagation: boolean;
  /** Adds own headers to the request. */
  readonly upstreamPropagation: boolean;
  readonly skipExternalClusters: boolean;
  /** Labels to add to the metadata besides the standard ones. */
  readonly additionalLabels: readonly string[];
}

/** Which responses are compressed, and how. */
export interface RuntimeCompressor {
  readonly encoding: ContentEncoding;
  /** Bytes. */
  readonly minContentLength: number;
  /** Lower case, without parameters. */
  readonly contentTypes: readonly string[];
  readonly disableOnEtag: boolean;
}

/** An HTTP filter with its configured name (which per-route settings go by). `router` is the last one. */
export type RuntimeHttpFilter = { readonly name: string; readonly disabled: boolean } & (
  | { readonly kind: 'router'; readonly suppressEnvoyHeaders: boolean }
  | { readonly kind: 'fault'; readonly fault: RuntimeFault | undefined }
  | { readonly kind: 'cors' }
  | { readonly kind: 'peer_metadata'; readonly peerMetadata: RuntimePeerMetadata }
  | { readonly kind: 'istio_stats'; readonly stats: RuntimeIstioStats }
  /** `istio.alpn`: ALPN lists offered upstream, by the upstream protocol. */
  | {
      readonly kind: 'istio_alpn';
      readonly overrides: {
        readonly http10: readonly string[];
        readonly http11: readonly string[];
        readonly http2: readonly string[];
      };
    }
  | { readonly kind: 'grpc_stats' }
  | { readonly kind: 'compressor'; readonly compressor: RuntimeCompressor }
);
