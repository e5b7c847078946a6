import { createRegistry, type Registry } from '@bufbuild/protobuf';
import {
  file_google_protobuf_any,
  file_google_protobuf_duration,
  file_google_protobuf_struct,
  file_google_protobuf_wrappers,
} from '@bufbuild/protobuf/wkt';
import { file_envoy_config_bootstrap_v3_bootstrap } from '@meltemi/xds/types/envoy/config/bootstrap/v3/bootstrap_pb.js';
import { file_envoy_config_cluster_v3_cluster } from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import { file_envoy_config_endpoint_v3_endpoint } from '@meltemi/xds/types/envoy/config/endpoint/v3/endpoint_pb.js';
import { file_envoy_config_listener_v3_listener } from '@meltemi/xds/types/envoy/config/listener/v3/listener_pb.js';
import { file_envoy_config_route_v3_route } from '@meltemi/xds/types/envoy/config/route/v3/route_pb.js';
import { file_envoy_extensions_access_loggers_file_v3_file } from '@meltemi/xds/types/envoy/extensions/access_loggers/file/v3/file_pb.js';
import { file_envoy_extensions_access_loggers_stream_v3_stream } from '@meltemi/xds/types/envoy/extensions/access_loggers/stream/v3/stream_pb.js';
import { file_envoy_extensions_compression_brotli_compressor_v3_brotli } from '@meltemi/xds/types/envoy/extensions/compression/brotli/compressor/v3/brotli_pb.js';
import { file_envoy_extensions_compression_gzip_compressor_v3_gzip } from '@meltemi/xds/types/envoy/extensions/compression/gzip/compressor/v3/gzip_pb.js';
import { file_envoy_extensions_compression_zstd_compressor_v3_zstd } from '@meltemi/xds/types/envoy/extensions/compression/zstd/compressor/v3/zstd_pb.js';
import { file_envoy_extensions_filters_http_compressor_v3_compressor } from '@meltemi/xds/types/envoy/extensions/filters/http/compressor/v3/compressor_pb.js';
import { file_envoy_extensions_filters_http_cors_v3_cors } from '@meltemi/xds/types/envoy/extensions/filters/http/cors/v3/cors_pb.js';
import { file_envoy_extensions_filters_http_fault_v3_fault } from '@meltemi/xds/types/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { file_envoy_extensions_filters_http_grpc_stats_v3_config } from '@meltemi/xds/types/envoy/extensions/filters/http/grpc_stats/v3/config_pb.js';
import { file_envoy_extensions_filters_http_rbac_v3_rbac } from '@meltemi/xds/types/envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import { file_envoy_extensions_filters_http_router_v3_router } from '@meltemi/xds/types/envoy/extensions/filters/http/router/v3/router_pb.js';
import { file_envoy_extensions_filters_listener_http_inspector_v3_http_inspector } from '@meltemi/xds/types/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.js';
import { file_envoy_extensions_filters_listener_original_dst_v3_original_dst } from '@meltemi/xds/types/envoy/extensions/filters/listener/original_dst/v3/original_dst_pb.js';
import { file_envoy_extensions_filters_listener_original_src_v3_original_src } from '@meltemi/xds/types/envoy/extensions/filters/listener/original_src/v3/original_src_pb.js';
import { file_envoy_extensions_filters_listener_tls_inspector_v3_tls_inspector } from '@meltemi/xds/types/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.js';
import { file_envoy_extensions_filters_network_http_connection_manager_v3_http_connection_manager } from '@meltemi/xds/types/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { file_envoy_extensions_filters_network_rbac_v3_rbac } from '@meltemi/xds/types/envoy/extensions/filters/network/rbac/v3/rbac_pb.js';
import { file_envoy_extensions_filters_network_tcp_proxy_v3_tcp_proxy } from '@meltemi/xds/types/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import { file_envoy_extensions_retry_host_previous_hosts_v3_previous_hosts } from '@meltemi/xds/types/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.js';
import { file_envoy_extensions_transport_sockets_raw_buffer_v3_raw_buffer } from '@meltemi/xds/types/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.js';
import { file_envoy_extensions_transport_sockets_tls_v3_secret } from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { file_envoy_extensions_transport_sockets_tls_v3_tls } from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { file_envoy_extensions_upstreams_http_v3_http_protocol_options } from '@meltemi/xds/types/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import { file_istio_filters_alpn } from '@meltemi/xds/types/istio/filters/alpn_pb.js';
import { file_istio_filters_metadata_exchange } from '@meltemi/xds/types/istio/filters/metadata_exchange_pb.js';
import { file_istio_filters_peer_metadata } from '@meltemi/xds/types/istio/filters/peer_metadata_pb.js';
import { file_istio_filters_stats } from '@meltemi/xds/types/istio/filters/stats_pb.js';

/** Every type that may stand in an `Any` of a bootstrap, a resource or a dump; JSON cannot be read or written without it. */
export const typeRegistry: Registry = createRegistry(
  file_envoy_config_bootstrap_v3_bootstrap,
  file_envoy_config_cluster_v3_cluster,
  file_envoy_config_endpoint_v3_endpoint,
  file_envoy_config_listener_v3_listener,
  file_envoy_config_route_v3_route,
  file_envoy_extensions_access_loggers_file_v3_file,
  file_envoy_extensions_access_loggers_stream_v3_stream,
  file_envoy_extensions_compression_brotli_compressor_v3_brotli,
  file_envoy_extensions_compression_gzip_compressor_v3_gzip,
  file_envoy_extensions_compression_zstd_compressor_v3_zstd,
  file_envoy_extensions_filters_http_compressor_v3_compressor,
  file_envoy_extensions_filters_http_cors_v3_cors,
  file_envoy_extensions_filters_http_fault_v3_fault,
  file_envoy_extensions_filters_http_grpc_stats_v3_config,
  file_envoy_extensions_filters_http_rbac_v3_rbac,
  file_envoy_extensions_filters_http_router_v3_router,
  file_envoy_extensions_filters_listener_http_inspector_v3_http_inspector,
  file_envoy_extensions_filters_listener_original_dst_v3_original_dst,
  file_envoy_extensions_filters_listener_original_src_v3_original_src,
  file_envoy_extensions_filters_listener_tls_inspector_v3_tls_inspector,
  file_envoy_extensions_filters_network_http_connection_manager_v3_http_connection_manager,
  file_envoy_extensions_filters_network_rbac_v3_rbac,
  file_envoy_extensions_filters_network_tcp_proxy_v3_tcp_proxy,
  file_envoy_extensions_retry_host_previous_hosts_v3_previous_hosts,
  file_envoy_extensions_transport_sockets_raw_buffer_v3_raw_buffer,
  file_envoy_extensions_transport_sockets_tls_v3_secret,
  file_envoy_extensions_transport_sockets_tls_v3_tls,
  file_envoy_extensions_upstreams_http_v3_http_protocol_options,
  file_google_protobuf_any,
  file_google_protobuf_duration,
  file_google_protobuf_struct,
  file_google_protobuf_wrappers,
  file_istio_filters_alpn,
  file_istio_filters_metadata_exchange,
  file_istio_filters_peer_metadata,
  file_istio_filters_stats,
);
