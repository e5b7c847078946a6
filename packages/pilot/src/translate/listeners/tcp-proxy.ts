import type { MeshConfig } from '@meltemi/api';
import type { FilterSchema } from '@meltemi/xds/types/envoy/config/listener/v3/listener_components_pb.js';
import { TcpProxySchema } from '@meltemi/xds/types/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import { MetadataExchangeSchema } from '@meltemi/xds/types/istio/filters/metadata_exchange_pb.js';
import { PluginConfigSchema } from '@meltemi/xds/types/istio/filters/stats_pb.js';
import { defined, durationOf, type Init, namedExtension } from '../protobuf-values.ts';
import type { ProxyFeatures } from '../proxy-node.ts';
import { buildAccessLogs } from './access-log.ts';

/** A network filter, ready to be put into a chain. */
export type NetworkFilterInit = Init<typeof FilterSchema>;

/** A cluster and its share of the connections. */
export interface WeightedTarget {
  readonly cluster: string;
  readonly weight: number;
}

/** What a TCP proxy filter is made of. */
export interface TcpProxyInput {
  /** At least one. */
  readonly targets: readonly WeightedTarget[];
  /** How its statistics are called. */
  readonly statPrefix: string;
  readonly meshConfig: MeshConfig;
  /** As resources write it; Envoy's hour when absent. */
  readonly idleTimeout?: string | undefined;
  readonly maxConnectionDuration?: string | undefined;
  /** Connections of one client go to one endpoint; the cluster must balance by hash. */
  readonly hashesSourceIp?: boolean;
}

/** The filter that carries a connection to its cluster. */
export function buildTcpProxy(input: TcpProxyInput): NetworkFilterInit {
  const [first] = input.targets;
  const extension = namedExtension(
    'envoy.filters.network.tcp_proxy',
    TcpProxySchema,
    defined({
      statPrefix: input.statPrefix,
      accessLog: buildAccessLogs(input.meshConfig),
      idleTimeout: durationOf(input.idleTimeout),
      maxDownstreamConnectionDuration: durationOf(input.maxConnectionDuration),
      hashPolicy:
        input.hashesSourceIp === true ? [{ policySpecifier: { case: 'sourceIp' as const, value: {} } }] : undefined,
      clusterSpecifier:
        input.targets.length === 1
          ? { case: 'cluster' as const, value: (first as WeightedTarget).cluster }
          : {
              case: 'weightedClusters' as const,
              value: { clusters: input.targets.map(({ cluster, weight }) => ({ name: cluster, weight })) },
            },
    }),
  );
  return networkFilter(extension);
}

/** Puts an extension into the form of a chain's filter. */
export function networkFilter({ name, typedConfig }: ReturnType<typeof namedExtension>): NetworkFilterInit {
  return { name, configType: { case: 'typedConfig', value: typedConfig } };
}

/** Filters before the TCP proxy: who is at the other end, and what to count. */
export function buildTcpTelemetry(features: ProxyFeatures, isInbound: boolean): NetworkFilterInit[] {
  const filters: NetworkFilterInit[] = [];
  if (features.tcpMetadataExchange && isInbound)
    filters.push(
      networkFilter(
        namedExtension('istio.metadata_exchange', MetadataExchangeSchema, {
          protocol: 'istio-peer-exchange',
          enableDiscovery: true,
        }),
      ),
    );
  if (features.tcpStats) filters.push(networkFilter(namedExtension('istio.stats', PluginConfigSchema, {})));
  return filters;
}
