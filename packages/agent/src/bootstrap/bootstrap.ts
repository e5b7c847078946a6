import type { BootstrapNode } from './node.ts';
import { buildPrometheusListener, buildReadinessListener } from './static-listeners.ts';
import type { StatsSettings } from './stats-settings.ts';

/** Everything that the bootstrap depends on. */
export interface BootstrapInput {
  readonly node: BootstrapNode;
  readonly adminPort: number;
  /** Port of the agent's status server. */
  readonly agentPort: number;
  /** Port of the proxy's own metrics. */
  readonly prometheusPort: number;
  /** Port of the readiness check that kubelets ask. */
  readonly readinessPort: number;
  readonly sdsSocketPath: string;
  readonly adsSocketPath: string;
  /** Delta discovery, or state of the world. */
  readonly deltaDiscovery: boolean;
  readonly stats: StatsSettings;
  /** SO_MARK of every upstream socket, where capture rules go by it. */
  readonly soMark: number | undefined;
  /** File for ejections of hosts. Default: they are not written. */
  readonly outlierLogPath?: string | undefined;
  /** Where kubelets and Prometheus call. Default: every address. */
  readonly listenAddress?: string;
  /** The listen address is `::` and takes IPv4, too. Default: false. */
  readonly isDualStack?: boolean;
  /** Where the proxy's admin page and the agent listen. Default: 127.0.0.1. */
  readonly localAddress?: string;
}

/** A bootstrap as JSON by Envoy's field names. */
export type BootstrapDocument = Readonly<Record<string, unknown>>;

const HTTP_PROTOCOL_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const SOL_SOCKET = 1;
const SO_MARK = 36;

/**
 * Builds the bootstrap that Meltemi's proxy and Envoy start from.
 *
 * Everything but admin, metrics, readiness and the two local gRPC clusters comes by discovery.
 */
export function buildBootstrap(input: BootstrapInput): BootstrapDocument {
  const { node, adminPort, prometheusPort, readinessPort, stats } = input;
  const { listenAddress = '0.0.0.0', isDualStack = false, localAddress = '127.0.0.1' } = input;
  const everywhere = (port: number): BootstrapDocument =>
    socketAddress(listenAddress, port, isDualStack ? { ipv4_compat: true } : {});
  return {
    node,
    admin: { address: socketAddress(localAddress, adminPort) },
    dynamic_resources: buildDynamicResources(input),
    static_resources: {
      listeners: [
        buildPrometheusListener(everywhere(prometheusPort), stats.compression),
        buildReadinessListener(everywhere(readinessPort)),
      ],
      clusters: [
        buildLocalCluster('prometheus_stats', localAddress, adminPort),
        buildLocalCluster('agent', localAddress, input.agentPort),
        buildPipeCluster('sds-grpc', input.sdsSocketPath),
        buildPipeCluster('xds-grpc', input.adsSocketPath),
      ],
    },
    stats_config: stats.config,
    ...stats.intervals,
    layered_runtime: {
      layers: [
        { name: 'static', static_layer: { 're2.max_program_size.error_level': 32_768 } },
        { name: 'admin', admin_layer: {} },
      ],
    },
    ...buildClusterManager(input),
  };
}

function buildClusterManager({ soMark, outlierLogPath }: BootstrapInput): BootstrapDocument {
  if (soMark === undefined && outlierLogPath === undefined) return {};
  return {
    cluster_manager: {
      ...(soMark === undefined ? {} : { upstream_bind_config: markSockets(soMark) }),
      ...(outlierLogPath === undefined ? {} : { outlier_detection: { event_log_path: outlierLogPath } }),
    },
  };
}

function buildDynamicResources({ deltaDiscovery }: BootstrapInput): BootstrapDocument {
  // No fetch timeout: a proxy that went ready without listeners would refuse its pod's traffic.
  const overAds = { ads: {}, resource_api_version: 'V3', initial_fetch_timeout: '0s' };
  return {
    lds_config: overAds,
    cds_config: overAds,
    ads_config: {
      api_type: deltaDiscovery ? 'DELTA_GRPC' : 'GRPC',
      transport_api_version: 'V3',
      set_node_on_first_message_only: true,
      grpc_services: [{ envoy_grpc: { cluster_name: 'xds-grpc' } }],
    },
  };
}

function buildLocalCluster(name: string, address: string, port: number): BootstrapDocument {
  return {
    ...named(name),
    type: 'STATIC',
    connect_timeout: '0.250s',
    lb_policy: 'ROUND_ROBIN',
    load_assignment: assign(name, socketAddress(address, port)),
  };
}

function buildPipeCluster(name: string, path: string): BootstrapDocument {
  return {
    ...named(name),
    type: 'STATIC',
    connect_timeout: '1s',
    typed_extension_protocol_options: {
      [HTTP_PROTOCOL_OPTIONS]: {
        '@type': `type.googleapis.com/${HTTP_PROTOCOL_OPTIONS}`,
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
    load_assignment: assign(name, { pipe: { path } }),
  };
}

/** In statistics a name ends with a semicolon, by which `stats_tags` finds its end. */
function named(name: string): BootstrapDocument {
  return { name, alt_stat_name: `${name};` };
}

function assign(clusterName: string, address: BootstrapDocument): BootstrapDocument {
  return { cluster_name: clusterName, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] };
}

function socketAddress(address: string, port: number, extra: BootstrapDocument = {}): BootstrapDocument {
  return { socket_address: { protocol: 'TCP', address, port_value: port, ...extra } };
}

function markSockets(mark: number): BootstrapDocument {
  return {
    socket_options: [
      {
        description: "tell the proxy's own traffic apart",
        level: SOL_SOCKET,
        name: SO_MARK,
        int_value: mark,
        state: 'STATE_PREBIND',
      },
    ],
  };
}
