import { type FilterConfig, FilterConfig_Protocol } from '@meltemi/xds/types/istio/filters/alpn_pb.js';
import type { Config } from '@meltemi/xds/types/istio/filters/peer_metadata_pb.js';
import { type PluginConfig, Reporter } from '@meltemi/xds/types/istio/filters/stats_pb.js';
import type { RuntimeHttpFilter, RuntimeIstioStats, RuntimePeerMetadata } from '../config/http-filter.ts';
import { CompileError } from './compile-error.ts';

export { FilterConfigSchema } from '@meltemi/xds/types/istio/filters/alpn_pb.js';
export { ConfigSchema as PeerMetadataSchema } from '@meltemi/xds/types/istio/filters/peer_metadata_pb.js';
export { PluginConfigSchema } from '@meltemi/xds/types/istio/filters/stats_pb.js';

/** Which side of a call this place reports on. */
export type StatsReporter = RuntimeIstioStats['reporter'];

/** Compiles Istio's metrics. */
export function compileIstioStats(config: PluginConfig, reporter: StatsReporter): RuntimeIstioStats {
  if (config.definitions.length > 0) throw new CompileError('metric definitions are not supported');
  return {
    reporter: config.reporter === Reporter.SERVER_GATEWAY ? 'waypoint' : reporter,
    disableHostHeaderFallback: config.disableHostHeaderFallback,
    overrides: config.metrics.map(({ name, drop, tagsToRemove, dimensions, match }) => {
      if (Object.keys(dimensions).length > 0) throw new CompileError('metrics.dimensions is not supported');
      if (match !== '') throw new CompileError('metrics.match is not supported');
      return { metric: name, drop, tagsToRemove };
    }),
  };
}

/** Compiles how peer metadata travels. Baggage and workload discovery have no meaning without HBONE and are left out. */
export function compilePeerMetadata(config: Config): RuntimePeerMetadata {
  const usesHeaders = (
    methods: readonly { readonly methodSpecifier: { readonly case?: string | undefined } }[],
  ): boolean => methods.some(({ methodSpecifier }) => methodSpecifier.case === 'istioHeaders');
  return {
    downstreamDiscovery: usesHeaders(config.downstreamDiscovery),
    upstreamDiscovery: usesHeaders(config.upstreamDiscovery),
    downstreamPropagation: usesHeaders(config.downstreamPropagation),
    upstreamPropagation: usesHeaders(config.upstreamPropagation),
    skipExternalClusters: config.upstreamPropagation.some(
      ({ methodSpecifier }) => methodSpecifier.case === 'istioHeaders' && methodSpecifier.value.skipExternalClusters,
    ),
    additionalLabels: config.additionalLabels,
  };
}

type AlpnOverrides = Extract<RuntimeHttpFilter, { readonly kind: 'istio_alpn' }>['overrides'];

/** Compiles the ALPN lists offered upstream. */
export function compileAlpn(config: FilterConfig): AlpnOverrides {
  const listFor = (protocol: FilterConfig_Protocol): readonly string[] =>
    config.alpnOverride.find(({ upstreamProtocol }) => upstreamProtocol === protocol)?.alpnOverride ?? [];
  return {
    http10: listFor(FilterConfig_Protocol.HTTP10),
    http11: listFor(FilterConfig_Protocol.HTTP11),
    http2: listFor(FilterConfig_Protocol.HTTP2),
  };
}
