import type { StatsCompression } from './stats-settings.ts';

type Json = Readonly<Record<string, unknown>>;

const CONNECTION_MANAGER = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const ROUTER = 'envoy.extensions.filters.http.router.v3.Router';
const COMPRESSOR = 'envoy.extensions.filters.http.compressor.v3.Compressor';

const COMPRESSION_LIBRARIES: Readonly<Record<StatsCompression, string>> = {
  brotli: 'envoy.extensions.compression.brotli.compressor.v3.Brotli',
  gzip: 'envoy.extensions.compression.gzip.compressor.v3.Gzip',
  zstd: 'envoy.extensions.compression.zstd.compressor.v3.Zstd',
};

/** The listener that serves the proxy's own metrics at `/stats/prometheus`. */
export function buildPrometheusListener(address: Json, compression: readonly StatsCompression[]): Json {
  return buildListener({
    name: 'prometheus',
    statPrefix: 'stats',
    address,
    path: '/stats/prometheus',
    cluster: 'prometheus_stats',
    filters: compression.map(buildCompressor),
  });
}

/** The listener at which kubelets ask whether the sidecar is ready: it answers only when the proxy itself runs. */
export function buildReadinessListener(address: Json): Json {
  return buildListener({
    name: 'readiness',
    statPrefix: 'agent',
    address,
    path: '/healthz/ready',
    cluster: 'agent',
  });
}

interface ListenerInput {
  readonly name: string;
  readonly statPrefix: string;
  readonly address: Json;
  /** The whole path: a prefix would let `/metrics/../quit` through to the server behind. */
  readonly path: string;
  readonly cluster: string;
  /** In front of the router. */
  readonly filters?: readonly Json[];
}

function buildListener({ name, statPrefix, address, path, cluster, filters = [] }: ListenerInput): Json {
  const routeConfig = {
    virtual_hosts: [{ name: 'backend', domains: ['*'], routes: [{ match: { path }, route: { cluster } }] }],
  };
  const connectionManager = {
    '@type': `type.googleapis.com/${CONNECTION_MANAGER}`,
    codec_type: 'AUTO',
    stat_prefix: statPrefix,
    route_config: routeConfig,
    http_filters: [...filters, { name: 'envoy.filters.http.router', typed_config: typed(ROUTER) }],
  };
  return {
    name,
    address,
    filter_chains: [
      { filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: connectionManager }] },
    ],
  };
}

function buildCompressor(library: StatsCompression): Json {
  const compressor_library = { name: library, typed_config: typed(COMPRESSION_LIBRARIES[library]) };
  return {
    name: `envoy.filters.http.compressor.${library}`,
    typed_config: { ...typed(COMPRESSOR), compressor_library },
  };
}

function typed(type: string): Json {
  return { '@type': `type.googleapis.com/${type}` };
}
