import type { TransportSocket } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import {
  type Filter,
  type FilterChain,
  type FilterChainMatch,
  FilterChainMatch_ConnectionSourceType,
} from '@meltemi/xds/types/envoy/config/listener/v3/listener_components_pb.js';
import { HttpConnectionManagerSchema } from '@meltemi/xds/types/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { TcpProxySchema } from '@meltemi/xds/types/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import { RawBufferSchema } from '@meltemi/xds/types/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.js';
import { DownstreamTlsContextSchema } from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { MetadataExchangeSchema } from '@meltemi/xds/types/istio/filters/metadata_exchange_pb.js';
import type { RuntimeFilterChain, RuntimeFilterChainMatch, RuntimeNetworkFilter } from '../config/listener.ts';
import type { RuntimeDownstreamTls } from '../config/tls.ts';
import { at, CompileError } from './compile-error.ts';
import { durationMsOr } from './duration.ts';
import { compileHttpConnectionManager, type HttpConnectionManagerContext } from './http-connection-manager.ts';
import { compileIstioStats, PluginConfigSchema } from './istio-filters.ts';
import { compileCidr } from './matchers.ts';
import { compileTcpProxy } from './tcp-proxy.ts';
import { compileDownstreamTls, type SecretCollector } from './tls-context.ts';
import { compileExtension, type ExtensionTable, extension } from './typed-config.ts';

/** What filter chains collect for their listener. */
export interface FilterChainContext extends HttpConnectionManagerContext {
  readonly secrets: SecretCollector;
}

const NETWORK_FILTERS: ExtensionTable<FilterChainContext, RuntimeNetworkFilter> = new Map([
  extension(
    HttpConnectionManagerSchema,
    (manager, context: FilterChainContext): RuntimeNetworkFilter => compileHttpConnectionManager(manager, context),
  ),
  extension(TcpProxySchema, (proxy): RuntimeNetworkFilter => compileTcpProxy(proxy)),
  extension(MetadataExchangeSchema, (): RuntimeNetworkFilter => ({ kind: 'metadata_exchange' })),
  extension(
    PluginConfigSchema,
    (config, { reporter }: FilterChainContext): RuntimeNetworkFilter => ({
      kind: 'istio_stats',
      stats: compileIstioStats(config, reporter),
    }),
  ),
]);

/** Type names of the network filters that this proxy has; `sni_cluster` is known by its name. */
export const NETWORK_FILTER_TYPES: readonly string[] = [...NETWORK_FILTERS.keys()];

const SNI_CLUSTER_TYPE = 'envoy.extensions.filters.network.sni_cluster.v3.SniCluster';

function compileNetworkFilter(filter: Filter, context: FilterChainContext): RuntimeNetworkFilter {
  if (filter.configType.case === 'configDiscovery') throw new CompileError('config_discovery is not supported');
  const any = filter.configType.value;
  // Its message has no fields and its type is not among the generated ones.
  if (any?.typeUrl.endsWith(`/${SNI_CLUSTER_TYPE}`) === true) return { kind: 'sni_cluster' };
  return compileExtension(NETWORK_FILTERS, any, context);
}

const isTerminal = ({ kind }: RuntimeNetworkFilter): boolean =>
  kind === 'http_connection_manager' || kind === 'tcp_proxy';

function compileNetworkFilters(filters: readonly Filter[], context: FilterChainContext): RuntimeNetworkFilter[] {
  const compiled = filters.map((filter, index) =>
    at(`filters[${index}] (${filter.name})`, () => compileNetworkFilter(filter, context)),
  );
  const terminalIndex = compiled.findIndex(isTerminal);
  if (terminalIndex === -1 && compiled.length > 0)
    throw new CompileError('no terminal filter: http_connection_manager or tcp_proxy must be last');
  if (terminalIndex !== compiled.length - 1) throw new CompileError('a terminal filter must be the last one');
  return compiled;
}

const SOURCE_TYPES: Readonly<Record<FilterChainMatch_ConnectionSourceType, RuntimeFilterChainMatch['sourceType']>> = {
  [FilterChainMatch_ConnectionSourceType.ANY]: 'any',
  [FilterChainMatch_ConnectionSourceType.SAME_IP_OR_LOOPBACK]: 'same_ip_or_loopback',
  [FilterChainMatch_ConnectionSourceType.EXTERNAL]: 'external',
};

const EMPTY_MATCH: RuntimeFilterChainMatch = Object.freeze({
  destinationPort: undefined,
  prefixRanges: [],
  serverNames: [],
  transportProtocol: '',
  applicationProtocols: [],
  directSourcePrefixRanges: [],
  sourceType: 'any',
  sourcePrefixRanges: [],
  sourcePorts: [],
});

function compileServerName(name: string): string {
  if (name.includes('*') && !/^\*\.[^*]+$/.test(name)) {
    throw new CompileError(`partial wildcards are not supported in server_names: ${name}`);
  }
  return name.toLowerCase();
}

function compileMatch(match: FilterChainMatch | undefined): RuntimeFilterChainMatch {
  if (match === undefined) return EMPTY_MATCH;
  if (match.addressSuffix !== '' || match.suffixLen !== undefined)
    throw new CompileError('address_suffix is not supported');
  return {
    destinationPort: match.destinationPort,
    prefixRanges: match.prefixRanges.map(compileCidr),
    serverNames: match.serverNames.map(compileServerName),
    transportProtocol: match.transportProtocol,
    applicationProtocols: match.applicationProtocols,
    directSourcePrefixRanges: match.directSourcePrefixRanges.map(compileCidr),
    sourceType: SOURCE_TYPES[match.sourceType],
    sourcePrefixRanges: match.sourcePrefixRanges.map(compileCidr),
    sourcePorts: match.sourcePorts,
  };
}

const TRANSPORTS: ExtensionTable<SecretCollector, RuntimeDownstreamTls | undefined> = new Map([
  extension(RawBufferSchema, (): RuntimeDownstreamTls | undefined => undefined),
  extension(DownstreamTlsContextSchema, (context, secrets: SecretCollector): RuntimeDownstreamTls | undefined =>
    compileDownstreamTls(context, secrets),
  ),
]);

function compileTransport(
  socket: TransportSocket | undefined,
  secrets: SecretCollector,
): RuntimeDownstreamTls | undefined {
  if (socket === undefined) return undefined;
  if (socket.configType.case === undefined && socket.name === 'envoy.transport_sockets.raw_buffer') return undefined;
  return compileExtension(TRANSPORTS, socket.configType.value, secrets);
}

/** Compiles what is done with one kind of connection. */
export function compileFilterChain(chain: FilterChain, context: FilterChainContext): RuntimeFilterChain {
  if (chain.useProxyProto === true) throw new CompileError('use_proxy_proto is not supported');
  if (chain.onDemandConfiguration !== undefined) throw new CompileError('on_demand_configuration is not supported');
  return {
    name: chain.name,
    match: at('filter_chain_match', () => compileMatch(chain.filterChainMatch)),
    tls: at('transport_socket', () => compileTransport(chain.transportSocket, context.secrets)),
    transportSocketConnectTimeoutMs: durationMsOr(chain.transportSocketConnectTimeout, 0),
    filters: compileNetworkFilters(chain.filters, context),
  };
}
