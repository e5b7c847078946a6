import type { HeaderMap } from '../../codec/header-map.ts';
import type { RuntimeNode, RuntimePeerMetadata } from '../../config/runtime-config.ts';
import type { Cluster } from '../../upstream/cluster.ts';
import type { HttpFilter } from './http-filter.ts';
import { decodeStruct } from './protobuf-struct.ts';

/** What a peer says about its workload. */
export interface PeerMetadata {
  readonly workload: string;
  readonly namespace: string;
  readonly cluster: string;
  readonly app: string;
  readonly version: string;
  readonly canonicalService: string;
  readonly canonicalRevision: string;
}

const METADATA_HEADER = 'x-envoy-peer-metadata';
const ID_HEADER = 'x-envoy-peer-metadata-id';
const MAX_CACHED_PEERS = 500;

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** Reads metadata as it is sent: base64 of a protobuf Struct. Undefined when it is not that. */
export function parsePeerMetadata(base64: string): PeerMetadata | undefined {
  const struct = decodeStruct(Buffer.from(base64, 'base64'));
  if (struct === undefined) return undefined;
  const labels = typeof struct['LABELS'] === 'object' && struct['LABELS'] !== null ? struct['LABELS'] : {};
  const label = (name: string): string => textOf((labels as Readonly<Record<string, unknown>>)[name]);
  const workload = textOf(struct['WORKLOAD_NAME']);
  return {
    workload,
    namespace: textOf(struct['NAMESPACE']),
    cluster: textOf(struct['CLUSTER_ID']),
    app: label('app'),
    version: label('version'),
    canonicalService: label('service.istio.io/canonical-name') || label('app') || workload,
    canonicalRevision: label('service.istio.io/canonical-revision') || label('version') || 'latest',
  };
}

/** Reads `istio.workload` of endpoint metadata: `workload;namespace;canonical-name;canonical-revision;cluster`. */
export function parseWorkloadMetadata(text: string): PeerMetadata {
  const [workload = '', namespace = '', canonicalService = '', canonicalRevision = '', cluster = ''] = text.split(';');
  return { workload, namespace, cluster, app: '', version: '', canonicalService, canonicalRevision };
}

function isOutsideMesh(cluster: Cluster | undefined, skipExternal: boolean): boolean {
  if (cluster === undefined || cluster.name === 'PassthroughCluster') return true;
  const istio = cluster.config.metadata['istio'];
  return istio?.['disable_mx'] === true || (skipExternal && istio?.['external'] === true);
}

/**
 * Exchanges workload metadata with the sidecar on the other side, in headers that no application ever sees.
 *
 * Outbound it sends its own with the request and reads the peer's from the response; inbound the other way round.
 */
export function createPeerMetadataFilter(name: string, config: RuntimePeerMetadata, node: RuntimeNode): HttpFilter {
  // By node id, because the metadata of one peer comes with each of its requests and is the same each time.
  const peers = new Map<string, { text: string; peer: PeerMetadata | undefined }>();

  const readPeer = (headers: HeaderMap): PeerMetadata | undefined => {
    const text = headers.get(METADATA_HEADER);
    if (text === undefined) return undefined;
    const id = headers.get(ID_HEADER) ?? '';
    const known = peers.get(id);
    if (known !== undefined && known.text === text) return known.peer;
    if (peers.size >= MAX_CACHED_PEERS) peers.clear();
    // Copied, so that the cache does not keep whole request heads alive through slices of their text.
    const copy = Buffer.from(text, 'latin1').toString('latin1');
    const peer = parsePeerMetadata(copy);
    peers.set(Buffer.from(id, 'latin1').toString('latin1'), { text: copy, peer });
    return peer;
  };

  const addOwn = (headers: HeaderMap): void => {
    if (node.peerMetadata === '') return;
    headers.set(ID_HEADER, node.id);
    headers.set(METADATA_HEADER, node.peerMetadata);
  };

  return {
    name,
    onRequestHeaders(stream) {
      const { headers } = stream.request;
      if (config.downstreamDiscovery) {
        stream.peerAskedForMetadata = headers.has(METADATA_HEADER);
        stream.downstreamPeer = readPeer(headers);
        headers.remove(METADATA_HEADER);
        headers.remove(ID_HEADER);
      }
      if (config.upstreamPropagation && !isOutsideMesh(stream.cluster, config.skipExternalClusters)) addOwn(headers);
      return 'continue';
    },
    onResponseHeaders(stream, { headers }) {
      if (config.upstreamDiscovery) {
        const peer = readPeer(headers);
        if (peer !== undefined) stream.upstreamPeer = peer;
        headers.remove(METADATA_HEADER);
        headers.remove(ID_HEADER);
      }
      if (config.downstreamPropagation && stream.peerAskedForMetadata) addOwn(headers);
    },
  };
}
