import { CorsSchema } from '@meltemi/xds/types/envoy/extensions/filters/http/cors/v3/cors_pb.js';
import { HTTPFaultSchema } from '@meltemi/xds/types/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { FilterConfigSchema as GrpcStatsSchema } from '@meltemi/xds/types/envoy/extensions/filters/http/grpc_stats/v3/config_pb.js';
import { RouterSchema } from '@meltemi/xds/types/envoy/extensions/filters/http/router/v3/router_pb.js';
import type { HttpFilterSchema } from '@meltemi/xds/types/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { FilterConfigSchema as AlpnSchema, FilterConfig_Protocol } from '@meltemi/xds/types/istio/filters/alpn_pb.js';
import { ConfigSchema as PeerMetadataSchema } from '@meltemi/xds/types/istio/filters/peer_metadata_pb.js';
import { PluginConfigSchema } from '@meltemi/xds/types/istio/filters/stats_pb.js';
import { type Init, namedExtension } from '../protobuf-values.ts';
import type { ProxyFeatures } from '../proxy-node.ts';

type HttpFilterInit = Init<typeof HttpFilterSchema>;

/** ALPN offered upstream, so that the server's sidecar knows the protocol inside mTLS without looking. */
const ALPN_OVERRIDES = [
  { upstreamProtocol: FilterConfig_Protocol.HTTP10, alpnOverride: ['istio-http/1.0', 'istio', 'http/1.0'] },
  { upstreamProtocol: FilterConfig_Protocol.HTTP11, alpnOverride: ['istio-http/1.1', 'istio', 'http/1.1'] },
  { upstreamProtocol: FilterConfig_Protocol.HTTP2, alpnOverride: ['istio-h2', 'istio', 'h2'] },
];

/**
 * The HTTP filters of a connection manager, in Istio's order; those that the proxy cannot load are left out.
 */
export function buildHttpFilters(features: ProxyFeatures, isInbound: boolean): HttpFilterInit[] {
  const filters: HttpFilterInit[] = [];
  if (features.httpPeerMetadata) filters.push(buildPeerMetadata(isInbound));
  filters.push(httpFilter(namedExtension('envoy.filters.http.grpc_stats', GrpcStatsSchema, { emitFilterState: true })));
  if (features.alpnOverride && !isInbound)
    filters.push(httpFilter(namedExtension('istio.alpn', AlpnSchema, { alpnOverride: ALPN_OVERRIDES })));
  filters.push(httpFilter(namedExtension('envoy.filters.http.fault', HTTPFaultSchema, {})));
  filters.push(httpFilter(namedExtension('envoy.filters.http.cors', CorsSchema, {})));
  if (features.httpStats) filters.push(httpFilter(namedExtension('istio.stats', PluginConfigSchema, {})));
  filters.push(httpFilter(namedExtension('envoy.filters.http.router', RouterSchema, {})));
  return filters;
}

function buildPeerMetadata(isInbound: boolean): HttpFilterInit {
  const headers = { methodSpecifier: { case: 'istioHeaders' as const, value: {} } };
  const discovery = { methodSpecifier: { case: 'workloadDiscovery' as const, value: {} } };
  const config: Init<typeof PeerMetadataSchema> = isInbound
    ? { downstreamDiscovery: [headers, discovery], downstreamPropagation: [headers] }
    : {
        upstreamDiscovery: [headers, discovery],
        upstreamPropagation: [{ methodSpecifier: { case: 'istioHeaders', value: { skipExternalClusters: true } } }],
      };
  return httpFilter(namedExtension('istio.metadata_exchange', PeerMetadataSchema, config));
}

function httpFilter({ name, typedConfig }: ReturnType<typeof namedExtension>): HttpFilterInit {
  return { name, configType: { case: 'typedConfig', value: typedConfig } };
}
