import type { RuntimeIstioStats, RuntimeNode } from '../../config/runtime-config.ts';
import { formatResponseFlags } from '../../decide/response-flags.ts';
import { stripPort } from '../../decide/virtual-host-match.ts';
import type { Counter, Histogram, StatsStore } from '../../stats/stats-store.ts';
import type { HttpFilter } from './http-filter.ts';
import type { HttpStream } from './http-stream.ts';
import { type PeerMetadata, parseWorkloadMetadata } from './peer-metadata.ts';

/** Labels of Istio's metrics, by name. */
type Labels = Record<string, string>;

const UNKNOWN = 'unknown';
const UNKNOWN_PEER: PeerMetadata = {
  workload: '',
  namespace: '',
  cluster: '',
  app: '',
  version: '',
  canonicalService: '',
  canonicalRevision: '',
};

/** Destinations that are no services, named as they are. */
const LITERAL_CLUSTERS: ReadonlySet<string> = new Set([
  'BlackHoleCluster',
  'PassthroughCluster',
  'InboundPassthroughCluster',
  'InboundPassthroughClusterIpv4',
  'InboundPassthroughClusterIpv6',
]);

/** The metrics of one label set. */
interface Series {
  readonly requests: Counter | undefined;
  readonly duration: Histogram | undefined;
  readonly requestBytes: Histogram | undefined;
  readonly responseBytes: Histogram | undefined;
}

function orUnknown(text: string | undefined): string {
  return text === undefined || text === '' ? UNKNOWN : text;
}

/** The namespace in a workload's SPIFFE identity; empty when it has none. */
export function namespaceOfIdentity(uri: string): string {
  return /\/ns\/([^/]+)\//.exec(uri)?.[1] ?? '';
}

function ownMetadata(node: RuntimeNode): PeerMetadata {
  const { labels } = node;
  return {
    workload: node.workloadName,
    namespace: node.namespace,
    cluster: node.clusterId,
    app: labels['app'] ?? '',
    version: labels['version'] ?? '',
    canonicalService:
      labels['service.istio.io/canonical-name'] ??
      labels['app.kubernetes.io/name'] ??
      labels['app'] ??
      node.workloadName,
    canonicalRevision:
      labels['service.istio.io/canonical-revision'] ??
      labels['app.kubernetes.io/version'] ??
      labels['version'] ??
      'latest',
  };
}

interface DestinationService {
  readonly host: string;
  readonly name: string;
  readonly namespace: string;
}

function servicesOf(stream: HttpStream): { host?: unknown; name?: unknown; namespace?: unknown } | undefined {
  const services = stream.cluster?.config.metadata['istio']?.['services'];
  return Array.isArray(services) ? (services[0] as { host?: unknown; name?: unknown; namespace?: unknown }) : undefined;
}

function destinationService(stream: HttpStream, usesHost: boolean, fallback: string): DestinationService {
  const service = servicesOf(stream);
  if (service !== undefined) {
    return {
      host: String(service.host ?? ''),
      name: String(service.name ?? ''),
      namespace: String(service.namespace ?? ''),
    };
  }
  const clusterName = stream.clusterName ?? '';
  const host = usesHost ? stripPort(stream.request.authority ?? '') : fallback;
  if (LITERAL_CLUSTERS.has(clusterName)) return { host, name: clusterName, namespace: '' };
  if (stream.routeName === 'block_all') return { host, name: 'BlackHoleCluster', namespace: '' };
  if (stream.routeName === 'allow_any') return { host, name: 'PassthroughCluster', namespace: '' };
  return { host, name: host.split('.')[0] ?? '', namespace: '' };
}

function upstreamPeerOf(stream: HttpStream): PeerMetadata {
  if (stream.upstreamPeer !== undefined) return stream.upstreamPeer;
  return stream.upstreamWorkload === undefined ? UNKNOWN_PEER : parseWorkloadMetadata(stream.upstreamWorkload);
}

function buildLabels(stream: HttpStream, config: RuntimeIstioStats, own: PeerMetadata): Labels {
  const isSource = config.reporter === 'source';
  const source = isSource ? own : (stream.downstreamPeer ?? UNKNOWN_PEER);
  const destination = isSource ? upstreamPeerOf(stream) : own;
  const { tls } = stream.connection;
  const upstreamTls = stream.upstreamTls;
  const sourcePrincipal = isSource ? (upstreamTls?.localUri ?? '') : (tls?.peer?.uri ?? '');
  const destinationPrincipal = isSource ? (upstreamTls?.peerUri ?? '') : (tls?.localUri ?? '');
  const isMutual = sourcePrincipal !== '' && destinationPrincipal !== '';
  const service = destinationService(stream, !config.disableHostHeaderFallback, isSource ? '' : own.canonicalService);
  return {
    reporter: config.reporter,
    source_workload: orUnknown(source.workload),
    source_canonical_service: orUnknown(source.canonicalService),
    source_canonical_revision: source.canonicalRevision === '' ? 'latest' : source.canonicalRevision,
    source_workload_namespace: orUnknown(
      isSource ? own.namespace : namespaceOfIdentity(sourcePrincipal) || source.namespace,
    ),
    source_principal: orUnknown(sourcePrincipal),
    source_app: orUnknown(source.app),
    source_version: orUnknown(source.version),
    source_cluster: orUnknown(source.cluster),
    destination_workload: orUnknown(destination.workload),
    destination_workload_namespace: orUnknown(
      isSource ? namespaceOfIdentity(destinationPrincipal) || destination.namespace : own.namespace,
    ),
    destination_principal: orUnknown(destinationPrincipal),
    destination_app: orUnknown(destination.app),
    destination_version: orUnknown(destination.version),
    destination_service: orUnknown(service.host),
    destination_canonical_service: orUnknown(destination.canonicalService),
    destination_canonical_revision: destination.canonicalRevision === '' ? 'latest' : destination.canonicalRevision,
    destination_service_name: orUnknown(service.name),
    destination_service_namespace: orUnknown(
      service.namespace !== '' ? service.namespace : isSource ? destination.namespace : own.namespace,
    ),
    destination_cluster: orUnknown(destination.cluster),
    request_protocol: stream.isGrpc ? 'grpc' : 'http',
    response_code: String(stream.responseCode),
    grpc_response_status: stream.isGrpc ? (stream.responseHeaders?.get('grpc-status') ?? '') : '',
    response_flags: formatResponseFlags(stream.responseFlags),
    connection_security_policy: isSource ? UNKNOWN : isMutual ? 'mutual_tls' : 'none',
  };
}

/** Drops metrics and labels as Telemetry overrides say. */
function createSeries(store: StatsStore, labels: Labels, config: RuntimeIstioStats): Series {
  const labelsOf = (metric: string): Labels | undefined => {
    const rules = config.overrides.filter((rule) => rule.metric === '' || rule.metric === metric);
    if (rules.some(({ drop }) => drop)) return undefined;
    const removed = new Set(rules.flatMap(({ tagsToRemove }) => tagsToRemove));
    return Object.fromEntries(Object.entries(labels).filter(([name]) => !removed.has(name)));
  };
  const counter = (metric: string): Counter | undefined => {
    const kept = labelsOf(metric);
    return kept === undefined ? undefined : store.counter(`istio_${metric}`, kept);
  };
  const histogram = (metric: string): Histogram | undefined => {
    const kept = labelsOf(metric);
    return kept === undefined ? undefined : store.histogram(`istio_${metric}`, kept);
  };
  return {
    requests: counter('requests_total'),
    duration: histogram('request_duration_milliseconds'),
    requestBytes: histogram('request_bytes'),
    responseBytes: histogram('response_bytes'),
  };
}

/** Series of one peer and cluster; a client that invents host names must not fill memory, so later ones share a label. */
const MAX_SERIES = 500;

const NO_PEER = {};
const NO_CLUSTER = {};

/**
 * Istio's standard metrics of HTTP requests.
 *
 * A series is found by what its labels depend on: objects that are the same for many requests (peer, cluster, connection's
 * certificate) lead to a small map by response code, flags and route. Building 25 labels happens once per series.
 */
export function createIstioStatsFilter(
  name: string,
  config: RuntimeIstioStats,
  { stats, node }: { readonly stats: StatsStore; readonly node: RuntimeNode },
): HttpFilter {
  const own = ownMetadata(node);
  const byPeer = new WeakMap<object, WeakMap<object, Map<string, Series>>>();

  const seriesOf = (stream: HttpStream): Series => {
    const peer = (config.reporter === 'source' ? stream.upstreamPeer : stream.downstreamPeer) ?? NO_PEER;
    let byCluster = byPeer.get(peer);
    if (byCluster === undefined) byPeer.set(peer, (byCluster = new WeakMap()));
    const cluster = stream.cluster ?? NO_CLUSTER;
    let byKey = byCluster.get(cluster);
    if (byKey === undefined) byCluster.set(cluster, (byKey = new Map()));
    const { connection, upstreamTls } = stream;
    const grpcStatus = stream.isGrpc ? (stream.responseHeaders?.get('grpc-status') ?? '') : '-';
    const identity =
      config.reporter === 'source'
        ? `${upstreamTls?.peerUri ?? ''}|${stream.upstreamWorkload ?? ''}`
        : `${connection.tls?.peer?.uri ?? ''}|${connection.tls?.localUri ?? ''}`;
    const host = servicesOf(stream) === undefined ? `${stream.request.authority ?? ''}|${stream.routeName}` : '';
    const status = `${stream.responseCode}|${stream.responseFlags}|${grpcStatus}|${identity}`;
    const key = `${status}|${host}`;
    const known = byKey.get(key);
    if (known !== undefined) return known;
    const isFull = byKey.size >= MAX_SERIES;
    const shared = isFull ? byKey.get(`${status}|\0`) : undefined;
    if (shared !== undefined) return shared;
    const labels = buildLabels(stream, config, own);
    if (isFull) labels['destination_service'] = labels['destination_service_name'] = UNKNOWN;
    const series = createSeries(stats, labels, config);
    byKey.set(isFull ? `${status}|\0` : key, series);
    return series;
  };

  return {
    name,
    onComplete(stream) {
      const series = seriesOf(stream);
      series.requests?.inc();
      series.duration?.record(Math.round(stream.durationMs ?? 0));
      series.requestBytes?.record(stream.bytesReceived);
      series.responseBytes?.record(stream.bytesSent);
    },
  };
}
