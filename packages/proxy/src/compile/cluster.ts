import type { JsonObject } from '@bufbuild/protobuf';
import {
  type CircuitBreakers,
  type CircuitBreakers_Thresholds,
} from '@meltemi/xds/types/envoy/config/cluster/v3/circuit_breaker_pb.js';
import {
  type Cluster,
  Cluster_LbPolicy,
  Cluster_RingHashLbConfig_HashFunction,
  type Cluster_SlowStartConfig,
  type Cluster_TransportSocketMatch,
} from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import type { OutlierDetection } from '@meltemi/xds/types/envoy/config/cluster/v3/outlier_detection_pb.js';
import type { BindConfig, TcpKeepalive } from '@meltemi/xds/types/envoy/config/core/v3/address_pb.js';
import { RoutingPriority, type TransportSocket } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import { RawBufferSchema } from '@meltemi/xds/types/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.js';
import { UpstreamTlsContextSchema } from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import type { BreakerSlots } from '../config/breaker-slots.ts';
import type {
  RuntimeCluster,
  RuntimeLbPolicy,
  RuntimeOutlierDetection,
  RuntimeSlowStart,
  RuntimeTcpKeepalive,
  RuntimeThresholds,
  RuntimeTransport,
  RuntimeTransportMatch,
} from '../config/cluster.ts';
import type { RuntimeEndpoints } from '../config/endpoints.ts';
import type { RuntimeSecret } from '../config/tls.ts';
import { compileDiscovery, type DnsTarget } from './cluster-discovery.ts';
import { at, CompileError, required } from './compile-error.ts';
import type { ResourceReference } from './config-source.ts';
import { durationMsOr } from './duration.ts';
import { compileMetadata } from './metadata.ts';
import {
  compileUpstreamTls,
  createSecretCollector,
  type SecretCollector,
  type UpstreamTlsHttpOptions,
} from './tls-context.ts';
import { compileExtension, type ExtensionTable, extension } from './typed-config.ts';
import { compileTlsHttpOptions, compileUpstreamHttp } from './upstream-http.ts';

/** A cluster in runtime form, with what it waits for. */
export interface CompiledCluster {
  readonly runtime: RuntimeCluster;
  readonly staticEndpoints: RuntimeEndpoints | undefined;
  readonly eds: ResourceReference | undefined;
  readonly dns: DnsTarget | undefined;
  readonly secrets: readonly ResourceReference[];
  readonly inlineSecrets: readonly RuntimeSecret[];
}

const DEFAULT_CONNECT_TIMEOUT_MS = 5000;
const DEFAULT_BUFFER_LIMIT_BYTES = 1_048_576;
const DEFAULT_PANIC_PERCENT = 50;
/** What "no limit" is on the wire; `Infinity` does not survive every clone. */
const UINT32_MAX = 4_294_967_295;

const DEFAULT_MIN_WEIGHT_PERCENT = 10;
/** The kernel's own, where the bootstrap or the mesh gives none. */
const DEFAULT_KEEPALIVE_TIME_SECONDS = 7200;
const DEFAULT_MINIMUM_RING_SIZE = 1024;
const DEFAULT_MAXIMUM_RING_SIZE = 8_388_608;
const DEFAULT_MAGLEV_TABLE_SIZE = 65_537;
const MAXIMUM_MAGLEV_TABLE_SIZE = 5_000_011;

function isPrime(number: number): boolean {
  if (number < 2) return false;
  for (let divisor = 2; divisor * divisor <= number; divisor++) if (number % divisor === 0) return false;
  return true;
}

function compileSlowStart(config: Cluster_SlowStartConfig | undefined): { slowStart?: RuntimeSlowStart } {
  const windowMs = durationMsOr(config?.slowStartWindow, 0);
  if (config === undefined || windowMs === 0) return {};
  const aggression = config.aggression?.defaultValue ?? 1;
  if (aggression <= 0) throw new CompileError('slow_start_config.aggression must be greater than 0');
  return {
    slowStart: { windowMs, aggression, minWeightPercent: config.minWeightPercent?.value ?? DEFAULT_MIN_WEIGHT_PERCENT },
  };
}

function compileKeepalive(keepalive: TcpKeepalive): RuntimeTcpKeepalive {
  return {
    timeMs: (keepalive.keepaliveTime ?? DEFAULT_KEEPALIVE_TIME_SECONDS) * 1000,
    intervalMs: keepalive.keepaliveInterval === undefined ? undefined : keepalive.keepaliveInterval * 1000,
    probes: keepalive.keepaliveProbes,
  };
}

function compileLbPolicy(cluster: Cluster): RuntimeLbPolicy {
  const config = cluster.lbConfig;
  switch (cluster.lbPolicy) {
    case Cluster_LbPolicy.CLUSTER_PROVIDED:
      return { kind: 'round_robin' };
    case Cluster_LbPolicy.ROUND_ROBIN: {
      const roundRobin = config.case === 'roundRobinLbConfig' ? config.value : undefined;
      return { kind: 'round_robin', ...compileSlowStart(roundRobin?.slowStartConfig) };
    }
    case Cluster_LbPolicy.RANDOM:
      return { kind: 'random' };
    case Cluster_LbPolicy.LEAST_REQUEST: {
      const leastRequest = config.case === 'leastRequestLbConfig' ? config.value : undefined;
      return {
        kind: 'least_request',
        choiceCount: leastRequest?.choiceCount ?? 2,
        activeRequestBias: leastRequest?.activeRequestBias?.defaultValue ?? 1,
        ...compileSlowStart(leastRequest?.slowStartConfig),
      };
    }
    case Cluster_LbPolicy.RING_HASH: {
      const ring = config.case === 'ringHashLbConfig' ? config.value : undefined;
      if (ring?.hashFunction === Cluster_RingHashLbConfig_HashFunction.MURMUR_HASH_2)
        throw new CompileError('ring_hash_lb_config.hash_function MURMUR_HASH_2 is not supported');
      const minimumRingSize = Number(ring?.minimumRingSize ?? DEFAULT_MINIMUM_RING_SIZE);
      const maximumRingSize = Number(ring?.maximumRingSize ?? DEFAULT_MAXIMUM_RING_SIZE);
      if (minimumRingSize > maximumRingSize)
        throw new CompileError(`minimum_ring_size ${minimumRingSize} > maximum_ring_size ${maximumRingSize}`);
      return { kind: 'ring_hash', minimumRingSize, maximumRingSize };
    }
    case Cluster_LbPolicy.MAGLEV: {
      const size = config.case === 'maglevLbConfig' ? config.value.tableSize : undefined;
      const tableSize = Number(size ?? DEFAULT_MAGLEV_TABLE_SIZE);
      // Every target must reach every slot.
      if (!isPrime(tableSize)) throw new CompileError('The table size of maglev must be prime number');
      if (tableSize > MAXIMUM_MAGLEV_TABLE_SIZE)
        throw new CompileError(`maglev_lb_config.table_size must be at most ${MAXIMUM_MAGLEV_TABLE_SIZE}`);
      return { kind: 'maglev', tableSize };
    }
    default:
      throw new CompileError(`unsupported lb_policy ${Cluster_LbPolicy[cluster.lbPolicy] ?? cluster.lbPolicy}`);
  }
}

function compileThresholds(thresholds: CircuitBreakers_Thresholds | undefined): RuntimeThresholds {
  const budget = thresholds?.retryBudget;
  return {
    maxConnections: thresholds?.maxConnections ?? 1024,
    maxPendingRequests: thresholds?.maxPendingRequests ?? 1024,
    maxRequests: thresholds?.maxRequests ?? 1024,
    maxRetries: thresholds?.maxRetries ?? 3,
    retryBudget:
      budget === undefined
        ? undefined
        : { percent: budget.budgetPercent?.value ?? 20, minRetryConcurrency: budget.minRetryConcurrency ?? 3 },
  };
}

function compileBreakers(breakers: CircuitBreakers | undefined): RuntimeCluster['breakers'] {
  const of = (priority: RoutingPriority): RuntimeThresholds =>
    compileThresholds(breakers?.thresholds.find((thresholds) => thresholds.priority === priority));
  return { default: of(RoutingPriority.DEFAULT), high: of(RoutingPriority.HIGH) };
}

/** Envoy's defaults; success-rate and failure-percentage detection are not compiled, they are off in Istio's output. */
function compileOutlierDetection(detection: OutlierDetection): RuntimeOutlierDetection {
  const baseEjectionTimeMs = durationMsOr(detection.baseEjectionTime, 30_000);
  return {
    intervalMs: durationMsOr(detection.interval, 10_000),
    baseEjectionTimeMs,
    maxEjectionTimeMs: durationMsOr(detection.maxEjectionTime, Math.max(300_000, baseEjectionTimeMs)),
    maxEjectionPercent: detection.maxEjectionPercent ?? 10,
    consecutive5xx: detection.consecutive5xx ?? 5,
    enforcingConsecutive5xxPercent: detection.enforcingConsecutive5xx ?? 100,
    consecutiveGatewayFailure: detection.consecutiveGatewayFailure ?? 5,
    enforcingConsecutiveGatewayFailurePercent: detection.enforcingConsecutiveGatewayFailure ?? 0,
    consecutiveLocalOriginFailure: detection.consecutiveLocalOriginFailure ?? 5,
    enforcingConsecutiveLocalOriginFailurePercent: detection.enforcingConsecutiveLocalOriginFailure ?? 100,
    splitExternalLocalOriginErrors: detection.splitExternalLocalOriginErrors,
  };
}

interface TransportInput {
  readonly secrets: SecretCollector;
  readonly http: UpstreamTlsHttpOptions;
}

const TRANSPORTS: ExtensionTable<TransportInput, RuntimeTransport> = new Map([
  extension(RawBufferSchema, (): RuntimeTransport => ({ kind: 'plaintext' })),
  extension(
    UpstreamTlsContextSchema,
    (context, { secrets, http }: TransportInput): RuntimeTransport => ({
      kind: 'tls',
      tls: compileUpstreamTls(context, secrets, http),
    }),
  ),
]);

function compileTransport(socket: TransportSocket | undefined, input: TransportInput): RuntimeTransport {
  if (socket === undefined) return { kind: 'plaintext' };
  // Istio writes the plaintext socket with its name alone.
  if (socket.configType.case === undefined && socket.name === 'envoy.transport_sockets.raw_buffer') {
    return { kind: 'plaintext' };
  }
  return compileExtension(TRANSPORTS, socket.configType.value, input);
}

function compileMatchLabels(match: JsonObject | undefined): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [key, value] of Object.entries(match ?? {})) {
    if (typeof value !== 'string') throw new CompileError(`match: ${key} is not a text`);
    labels[key] = value;
  }
  return labels;
}

function compileTransportMatch(match: Cluster_TransportSocketMatch, input: TransportInput): RuntimeTransportMatch {
  return {
    name: required(match.name, 'name'),
    match: compileMatchLabels(match.match),
    transport: compileTransport(match.transportSocket, input),
  };
}

/** Refuses what would change how traffic behaves if it were left out. */
function refuseUnsupported(cluster: Cluster): void {
  const unsupported: [boolean, string][] = [
    [cluster.healthChecks.length > 0, 'health_checks'],
    [cluster.loadBalancingPolicy !== undefined, 'load_balancing_policy'],
    [cluster.lbSubsetConfig !== undefined, 'lb_subset_config'],
    [cluster.filters.length > 0, 'filters'],
    [cluster.upstreamConfig !== undefined, 'upstream_config'],
  ];
  const found = unsupported.find(([isPresent]) => isPresent);
  if (found !== undefined) throw new CompileError(`${found[1]} is not supported`);
}

/** Addresses alone: a port that all connections shared would allow one connection. */
function compileSourceAddresses(bind: BindConfig | undefined): readonly string[] {
  const addresses = [bind?.sourceAddress, ...(bind?.extraSourceAddresses ?? []).map(({ address }) => address)];
  return addresses.flatMap((socket) => socket?.address || []);
}

/** Compiles a cluster of CDS or of the bootstrap. */
export function compileCluster(cluster: Cluster, slots: BreakerSlots): CompiledCluster {
  const name = required(cluster.name, 'name');
  refuseUnsupported(cluster);
  const discovery = compileDiscovery(cluster);
  const secrets = createSecretCollector();
  const http = compileUpstreamHttp(cluster);
  const input: TransportInput = { secrets, http: compileTlsHttpOptions(cluster) };
  const keepalive = cluster.upstreamConnectionOptions?.tcpKeepalive;
  const runtime: RuntimeCluster = {
    name,
    altStatName: cluster.altStatName === '' ? undefined : cluster.altStatName,
    discovery: discovery.runtime,
    endpointsName: discovery.endpointsName,
    lbPolicy: compileLbPolicy(cluster),
    localityWeighted: cluster.commonLbConfig?.localityConfigSpecifier.case === 'localityWeightedLbConfig',
    panicThresholdPercent: cluster.commonLbConfig?.healthyPanicThreshold?.value ?? DEFAULT_PANIC_PERCENT,
    connectTimeoutMs: durationMsOr(cluster.connectTimeout, DEFAULT_CONNECT_TIMEOUT_MS),
    perConnectionBufferLimitBytes: cluster.perConnectionBufferLimitBytes ?? DEFAULT_BUFFER_LIMIT_BYTES,
    breakers: compileBreakers(cluster.circuitBreakers),
    breakerSlot: slots.slotOf(name),
    transport: at('transport_socket', () => compileTransport(cluster.transportSocket, input)),
    transportMatches: cluster.transportSocketMatches.map((match, index) =>
      at(`transport_socket_matches[${index}]`, () => compileTransportMatch(match, input)),
    ),
    protocol: http.protocol,
    bindSourceAddresses: compileSourceAddresses(cluster.upstreamBindConfig),
    tcpKeepalive: keepalive === undefined ? undefined : compileKeepalive(keepalive),
    outlierDetection:
      cluster.outlierDetection === undefined ? undefined : compileOutlierDetection(cluster.outlierDetection),
    maxRequestsPerConnection: Math.min(http.maxRequestsPerConnection, UINT32_MAX),
    idleTimeoutMs: http.idleTimeoutMs,
    maxConnectionDurationMs: http.maxConnectionDurationMs,
    metadata: compileMetadata(cluster.metadata),
  };
  return {
    runtime,
    staticEndpoints: discovery.staticEndpoints,
    eds: discovery.eds,
    dns: discovery.dns,
    secrets: secrets.references,
    inlineSecrets: secrets.inline,
  };
}
