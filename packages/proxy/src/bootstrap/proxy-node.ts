import { clone, create, type JsonObject, toBinary } from '@bufbuild/protobuf';
import { type Struct, StructSchema, type Value, ValueSchema } from '@bufbuild/protobuf/wkt';
import { type Node, NodeSchema } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import { NETWORK_FILTER_TYPES } from '../compile/filter-chain.ts';
import { HTTP_FILTER_TYPES } from '../compile/http-filters.ts';
import { LISTENER_FILTER_TYPES } from '../compile/listener.ts';
import type { RuntimeNode } from '../config/messages.ts';

/** The version told to control planes and in `/server_info`. */
export const PROXY_VERSION = '0.1.0';

/** Replacements of single fields of the bootstrap's node, from the command line. */
export interface NodeOverrides {
  readonly id: string | undefined;
  readonly cluster: string | undefined;
  readonly zone: string | undefined;
}

/** Names by which control planes know the filters that this proxy has, by Envoy's extension category. */
const EXTENSIONS: readonly {
  readonly category: string;
  readonly names: readonly string[];
  readonly types: readonly string[];
}[] = [
  {
    category: 'envoy.filters.http',
    names: [
      'envoy.filters.http.cors',
      'envoy.filters.http.fault',
      'envoy.filters.http.grpc_stats',
      'envoy.filters.http.router',
      'envoy.filters.http.peer_metadata',
      'envoy.filters.http.alpn',
      'envoy.filters.http.istio_stats',
      'istio.alpn',
      'istio.stats',
      'istio.metadata_exchange',
    ],
    types: HTTP_FILTER_TYPES,
  },
  {
    category: 'envoy.filters.network',
    names: [
      'envoy.filters.network.http_connection_manager',
      'envoy.filters.network.metadata_exchange',
      'envoy.filters.network.sni_cluster',
      'envoy.filters.network.tcp_proxy',
      'istio.metadata_exchange',
      'istio.stats',
    ],
    types: NETWORK_FILTER_TYPES,
  },
  {
    category: 'envoy.filters.listener',
    names: [
      'envoy.filters.listener.http_inspector',
      'envoy.filters.listener.original_dst',
      'envoy.filters.listener.tls_inspector',
    ],
    types: LISTENER_FILTER_TYPES,
  },
  {
    category: 'envoy.transport_sockets.upstream',
    names: ['envoy.transport_sockets.raw_buffer', 'envoy.transport_sockets.tls'],
    types: [],
  },
  {
    category: 'envoy.transport_sockets.downstream',
    names: ['envoy.transport_sockets.raw_buffer', 'envoy.transport_sockets.tls'],
    types: [],
  },
  {
    category: 'envoy.access_loggers',
    names: ['envoy.access_loggers.file', 'envoy.access_loggers.stdout', 'envoy.access_loggers.stderr'],
    types: [],
  },
];

/** The node as sent to control planes: the bootstrap's, and what this proxy can do. */
export function buildNode(node: Node | undefined, overrides: NodeOverrides): Node {
  const built = node === undefined ? create(NodeSchema) : clone(NodeSchema, node);
  if (overrides.id !== undefined) built.id = overrides.id;
  if (overrides.cluster !== undefined) built.cluster = overrides.cluster;
  if (overrides.zone !== undefined) {
    built.locality = {
      ...(built.locality ?? { $typeName: 'envoy.config.core.v3.Locality', region: '', zone: '', subZone: '' }),
      zone: overrides.zone,
    };
  }
  built.userAgentName = 'meltemi';
  built.userAgentVersionType = { case: 'userAgentVersion', value: PROXY_VERSION };
  built.extensions = EXTENSIONS.flatMap(({ category, names, types }) =>
    names.map((name, index) => ({
      $typeName: 'envoy.config.core.v3.Extension' as const,
      name,
      category,
      typeDescriptor: '',
      disabled: false,
      // One entry carries the category's types: pilot looks for names, Envoy's own lists pair them.
      typeUrls: index === 0 ? [...types] : [],
    })),
  );
  built.clientFeatures = [...new Set([...built.clientFeatures, 'xds.config.supports-resource-in-sotw'])];
  return built;
}

const textOf = (metadata: JsonObject, key: string): string => {
  const value = metadata[key];
  return typeof value === 'string' ? value : '';
};

function labelsOf(metadata: JsonObject): Record<string, string> {
  const labels = metadata['LABELS'];
  if (typeof labels !== 'object' || labels === null || Array.isArray(labels)) return {};
  return Object.fromEntries(
    Object.entries(labels).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

const textValue = (value: string): Value => create(ValueSchema, { kind: { case: 'stringValue', value } });

/** A struct whose members stand in the order of their keys: equal metadata must have equal bytes. */
function sortedStruct(fields: Readonly<Record<string, Value>>): Struct {
  return create(StructSchema, {
    fields: Object.fromEntries(Object.entries(fields).sort(([left], [right]) => (left < right ? -1 : 1))),
  });
}

/** Labels that peers are told; the rest of a pod's labels is nobody's business. */
const PEER_LABELS: readonly string[] = [
  'app',
  'version',
  'service.istio.io/canonical-name',
  'service.istio.io/canonical-revision',
  'app.kubernetes.io/name',
  'app.kubernetes.io/version',
];

/** What peers learn about this workload, as Istio's metadata exchange carries it: base64 of a protobuf Struct. */
function encodePeerMetadata(metadata: JsonObject): string {
  const fields: Record<string, Value> = {};
  for (const key of ['NAME', 'NAMESPACE', 'CLUSTER_ID', 'OWNER', 'WORKLOAD_NAME', 'MESH_ID']) {
    const value = textOf(metadata, key);
    if (value !== '') fields[key] = textValue(value);
  }
  const labels = Object.fromEntries(
    Object.entries(labelsOf(metadata))
      .filter(([name]) => PEER_LABELS.includes(name))
      .map(([name, value]) => [name, textValue(value)]),
  );
  if (Object.keys(labels).length > 0) {
    fields['LABELS'] = create(ValueSchema, { kind: { case: 'structValue', value: sortedStruct(labels) } });
  }
  if (Object.keys(fields).length === 0) return '';
  return Buffer.from(toBinary(StructSchema, sortedStruct(fields))).toString('base64');
}

/** The node as workers need it. */
export function toRuntimeNode(node: Node, hostname: string): RuntimeNode {
  const metadata = node.metadata ?? {};
  return {
    id: node.id,
    cluster: node.cluster,
    peerMetadata: encodePeerMetadata(metadata),
    workloadName: textOf(metadata, 'WORKLOAD_NAME'),
    namespace: textOf(metadata, 'NAMESPACE'),
    clusterId: textOf(metadata, 'CLUSTER_ID'),
    labels: labelsOf(metadata),
    hostname,
  };
}
