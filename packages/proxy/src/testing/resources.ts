import { fromJson, type JsonObject, type JsonValue } from '@bufbuild/protobuf';
import { type Any, AnySchema } from '@bufbuild/protobuf/wkt';
import { typeRegistry } from '../bootstrap/type-registry.ts';
import { TYPE_URLS } from '../xds-client/type-urls.ts';

const typed = (typeUrl: string, resource: JsonObject): Any =>
  fromJson(AnySchema, { '@type': typeUrl, ...resource }, { registry: typeRegistry });

const ADS: JsonObject = { ads: {}, initial_fetch_timeout: '0s', resource_api_version: 'V3' };

/** A cluster of EDS over ADS. */
export const edsCluster = (name: string, more: JsonObject = {}): Any =>
  typed(TYPE_URLS.cluster, { name, type: 'EDS', eds_cluster_config: { eds_config: ADS }, ...more });

/** A cluster with one host that stands in it. */
export const staticCluster = (name: string, port: number, more: JsonObject = {}): JsonObject => ({
  name,
  type: 'STATIC',
  load_assignment: assignment(name, [port]),
  ...more,
});

const assignment = (name: string, ports: readonly number[]): JsonObject => ({
  cluster_name: name,
  endpoints: [
    {
      lb_endpoints: ports.map((port) => ({
        endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } },
      })),
    },
  ],
});

/** A load assignment of hosts on 127.0.0.1. */
export const endpoints = (name: string, ...ports: readonly number[]): Any =>
  typed(TYPE_URLS.endpoints, assignment(name, ports));

/** A secret context that takes certificate and trust from a discovery source. */
export const mutualTls = (source: JsonObject): JsonObject => ({
  common_tls_context: {
    tls_certificate_sds_secret_configs: [{ name: 'default', sds_config: source }],
    combined_validation_context: {
      default_validation_context: {
        match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { prefix: 'spiffe://' } }],
      },
      validation_context_sds_secret_config: { name: 'ROOTCA', sds_config: source },
    },
  },
});

/** A transport socket of an upstream TLS context. */
export const upstreamTls = (context: JsonObject): JsonObject => ({
  name: 'envoy.transport_sockets.tls',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
    ...context,
  },
});

/** A discovery source behind a cluster of the bootstrap. */
export const sdsSource = (cluster: string): JsonObject => ({
  api_config_source: {
    api_type: 'GRPC',
    transport_api_version: 'V3',
    grpc_services: [{ envoy_grpc: { cluster_name: cluster } }],
  },
  initial_fetch_timeout: '0s',
  resource_api_version: 'V3',
});

/** A filter chain that speaks HTTP. */
export const httpChain = (routes: JsonObject, httpFilters: JsonValue[] = []): JsonObject => ({
  filters: [
    {
      name: 'envoy.filters.network.http_connection_manager',
      typed_config: {
        '@type':
          'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
        stat_prefix: 'test',
        ...routes,
        http_filters: [
          ...httpFilters,
          {
            name: 'envoy.filters.http.router',
            typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
          },
        ],
      },
    },
  ],
});

/** A listener on 127.0.0.1. */
export const listenerJson = (name: string, port: number, chain: JsonObject, more: JsonObject = {}): JsonObject => ({
  name,
  address: { socket_address: { address: '127.0.0.1', port_value: port } },
  filter_chains: [chain],
  ...more,
});

/** A listener whose routes come by RDS. */
export const rdsListener = (name: string, routeName: string, more: JsonObject = {}): Any =>
  typed(
    TYPE_URLS.listener,
    listenerJson(name, 15_001, httpChain({ rds: { route_config_name: routeName, config_source: ADS } }), more),
  );

/** A listener resource. */
export const listener = (json: JsonObject): Any => typed(TYPE_URLS.listener, json);

/** A cluster resource. */
export const cluster = (json: JsonObject): Any => typed(TYPE_URLS.cluster, json);

/** Routes of every host to one cluster. */
export const routeJson = (name: string, clusterName: string): JsonObject => ({
  name,
  virtual_hosts: [
    { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: clusterName } }] },
  ],
});

/** A route table resource. */
export const route = (name: string, clusterName: string): Any => typed(TYPE_URLS.route, routeJson(name, clusterName));

/** A secret resource. */
export const secret = (json: JsonObject): Any => typed(TYPE_URLS.secret, json);

/** A bootstrap that takes everything from a control plane. */
export const dynamicBootstrap = (target: string, apiType: 'GRPC' | 'DELTA_GRPC', more: JsonObject = {}): JsonObject => {
  const port = Number(target.slice(target.lastIndexOf(':') + 1));
  return {
    node: { id: 'sidecar~10.0.0.1~a.b~b.svc.cluster.local', cluster: 'a.b' },
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
    dynamic_resources: {
      ads_config: {
        api_type: apiType,
        transport_api_version: 'V3',
        set_node_on_first_message_only: true,
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds-grpc' } }],
      },
      cds_config: ADS,
      lds_config: ADS,
    },
    static_resources: { clusters: [staticCluster('xds-grpc', port), staticCluster('sds-grpc', port)] },
    ...more,
  };
};
