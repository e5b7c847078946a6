import {
  createRegistry,
  type DescMessage,
  type JsonValue,
  type Message,
  type MessageShape,
  type Registry,
  toJson,
} from '@bufbuild/protobuf';
import type { ConfigResource, MeshSnapshot } from '@meltemi/model';
import { ClusterSchema } from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '@meltemi/xds/types/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '@meltemi/xds/types/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@meltemi/xds/types/envoy/config/route/v3/route_pb.js';
import { FileAccessLogSchema } from '@meltemi/xds/types/envoy/extensions/access_loggers/file/v3/file_pb.js';
import { StdoutAccessLogSchema } from '@meltemi/xds/types/envoy/extensions/access_loggers/stream/v3/stream_pb.js';
import { CorsPolicySchema, CorsSchema } from '@meltemi/xds/types/envoy/extensions/filters/http/cors/v3/cors_pb.js';
import { HTTPFaultSchema } from '@meltemi/xds/types/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { FilterConfigSchema as GrpcStatsSchema } from '@meltemi/xds/types/envoy/extensions/filters/http/grpc_stats/v3/config_pb.js';
import { RouterSchema } from '@meltemi/xds/types/envoy/extensions/filters/http/router/v3/router_pb.js';
import { HttpInspectorSchema } from '@meltemi/xds/types/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.js';
import { OriginalDstSchema } from '@meltemi/xds/types/envoy/extensions/filters/listener/original_dst/v3/original_dst_pb.js';
import { OriginalSrcSchema } from '@meltemi/xds/types/envoy/extensions/filters/listener/original_src/v3/original_src_pb.js';
import { TlsInspectorSchema } from '@meltemi/xds/types/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.js';
import { HttpConnectionManagerSchema } from '@meltemi/xds/types/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { TcpProxySchema } from '@meltemi/xds/types/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import { PreviousHostsPredicateSchema } from '@meltemi/xds/types/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.js';
import { RawBufferSchema } from '@meltemi/xds/types/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.js';
import {
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { HttpProtocolOptionsSchema } from '@meltemi/xds/types/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import { FilterConfigSchema as AlpnSchema } from '@meltemi/xds/types/istio/filters/alpn_pb.js';
import { MetadataExchangeSchema } from '@meltemi/xds/types/istio/filters/metadata_exchange_pb.js';
import { ConfigSchema as PeerMetadataSchema } from '@meltemi/xds/types/istio/filters/peer_metadata_pb.js';
import { PluginConfigSchema } from '@meltemi/xds/types/istio/filters/stats_pb.js';
import { createTranslationMemo } from '../translate/memo.ts';
import type { ProxyNode } from '../translate/proxy-node.ts';
import { translateProxy } from '../translate/translate-proxy.ts';
import type { Translated } from '../translate/translated.ts';
import { type FixtureMesh, fixtureNode, fixtureSnapshot } from './mesh-fixture.ts';

const REGISTRY: Registry = createRegistry(
  AlpnSchema,
  CorsPolicySchema,
  CorsSchema,
  DownstreamTlsContextSchema,
  FileAccessLogSchema,
  GrpcStatsSchema,
  HTTPFaultSchema,
  HttpConnectionManagerSchema,
  HttpInspectorSchema,
  HttpProtocolOptionsSchema,
  MetadataExchangeSchema,
  OriginalDstSchema,
  OriginalSrcSchema,
  PeerMetadataSchema,
  PluginConfigSchema,
  PreviousHostsPredicateSchema,
  RawBufferSchema,
  RouterSchema,
  StdoutAccessLogSchema,
  TcpProxySchema,
  TlsInspectorSchema,
  UpstreamTlsContextSchema,
);

/** Plain JSON of which tests read members without types; Envoy's own field names. */
// biome-ignore lint/suspicious/noExplicitAny: tests assert on the JSON form, whose types are protobuf's.
// oxlint-disable-next-line typescript/no-explicit-any
export type EnvoyJson = any;

/** A message in Envoy's JSON form, with field names as in its YAML. */
export function toEnvoyJson<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): JsonValue {
  return toJson(schema, message, { registry: REGISTRY, useProtoFieldName: true });
}

/** What one sidecar is given, as JSON by resource name. */
export interface SidecarJson {
  readonly clusters: ReadonlyMap<string, EnvoyJson>;
  readonly endpoints: ReadonlyMap<string, EnvoyJson>;
  readonly listeners: ReadonlyMap<string, EnvoyJson>;
  readonly routes: ReadonlyMap<string, EnvoyJson>;
}

/** Translates a mesh for one sidecar. */
export function translateToJson(mesh: FixtureMesh | MeshSnapshot, node: Partial<ProxyNode> = {}): SidecarJson {
  const snapshot = 'number' in mesh ? mesh : fixtureSnapshot(mesh);
  const translation = translateProxy({ snapshot, node: fixtureNode(node), memo: createTranslationMemo() });
  return {
    clusters: byName(ClusterSchema, translation.clusters()),
    endpoints: byName(ClusterLoadAssignmentSchema, translation.endpoints()),
    listeners: byName(ListenerSchema, translation.listeners()),
    routes: byName(RouteConfigurationSchema, translation.routes()),
  };
}

function byName<Desc extends DescMessage>(
  schema: Desc,
  resources: readonly Translated<Message>[],
): ReadonlyMap<string, EnvoyJson> {
  // Each list holds messages of its schema.
  return new Map(resources.map(({ name, resource }) => [name, toEnvoyJson(schema, resource as MessageShape<Desc>)]));
}

/** The routes of the virtual host of a service on a port, from the whole translation. */
export function routesOfHost(sidecar: SidecarJson, routeName: string, host: string): readonly EnvoyJson[] {
  const found = sidecar.routes.get(routeName)?.virtual_hosts.find((candidate: EnvoyJson) => candidate.name === host);
  return found?.routes ?? [];
}

/** A mesh with `reviews:9080` in namespace `default` and some rules. */
export function reviewsMesh(...configs: readonly ConfigResource[]): FixtureMesh {
  return {
    services: [
      {
        name: 'reviews',
        vip: '10.111.0.10',
        ports: [{ name: 'http', number: 9080 }],
        serviceAccounts: ['spiffe://cluster.local/ns/default/sa/reviews'],
        endpoints: [{ address: '10.11.0.20', labels: { app: 'reviews', version: 'v1' } }],
      },
    ],
    configs,
  };
}
