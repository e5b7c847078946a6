import type { LoadBalancerSettings } from '@meltemi/api';
import {
  Cluster_DiscoveryType,
  Cluster_LbPolicy,
  type ClusterSchema,
} from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import { durationOf, type Init } from '../protobuf-values.ts';

type ClusterInit = Init<typeof ClusterSchema>;

const DEFAULT_RING_SIZE = 1024;
const DEFAULT_MAGLEV_TABLE_SIZE = 65_537;
const DEFAULT_WARMUP_MIN_PERCENT = 10;

const SIMPLE_POLICIES: Readonly<Record<string, Cluster_LbPolicy>> = {
  ROUND_ROBIN: Cluster_LbPolicy.ROUND_ROBIN,
  RANDOM: Cluster_LbPolicy.RANDOM,
  LEAST_CONN: Cluster_LbPolicy.LEAST_REQUEST,
  LEAST_REQUEST: Cluster_LbPolicy.LEAST_REQUEST,
};

/** How a cluster picks an endpoint. Least request where nobody says. */
export function buildLoadBalancer(settings: LoadBalancerSettings | undefined): ClusterInit {
  if (settings?.consistentHash !== undefined) return buildConsistentHash(settings.consistentHash);
  const lbPolicy = SIMPLE_POLICIES[settings?.simple ?? ''] ?? Cluster_LbPolicy.LEAST_REQUEST;
  return { lbPolicy, ...buildWarmup(settings, lbPolicy) };
}

/** Whether a rule asks for the address that the client dialled instead of any balancing. */
export function isPassthroughBalancing(settings: LoadBalancerSettings | undefined): boolean {
  return settings?.simple === 'PASSTHROUGH';
}

/** A cluster that dials the connection's original destination. */
export const ORIGINAL_DESTINATION: ClusterInit = {
  clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.ORIGINAL_DST },
  lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
};

function buildConsistentHash(hash: NonNullable<LoadBalancerSettings['consistentHash']>): ClusterInit {
  if (hash.maglev !== undefined) {
    const tableSize = BigInt(hash.maglev.tableSize ?? DEFAULT_MAGLEV_TABLE_SIZE);
    return { lbPolicy: Cluster_LbPolicy.MAGLEV, lbConfig: { case: 'maglevLbConfig', value: { tableSize } } };
  }
  const minimumRingSize = BigInt(hash.ringHash?.minimumRingSize ?? hash.minimumRingSize ?? DEFAULT_RING_SIZE);
  return { lbPolicy: Cluster_LbPolicy.RING_HASH, lbConfig: { case: 'ringHashLbConfig', value: { minimumRingSize } } };
}

function buildWarmup(settings: LoadBalancerSettings | undefined, lbPolicy: Cluster_LbPolicy): ClusterInit {
  const slowStartWindow = durationOf(settings?.warmup?.duration ?? settings?.warmupDurationSecs);
  if (slowStartWindow === undefined) return {};
  const slowStartConfig = {
    slowStartWindow,
    aggression: { defaultValue: settings?.warmup?.aggression ?? 1, runtimeKey: 'meltemi.slow_start_aggression' },
    minWeightPercent: { value: settings?.warmup?.minimumPercent ?? DEFAULT_WARMUP_MIN_PERCENT },
  };
  if (lbPolicy === Cluster_LbPolicy.ROUND_ROBIN)
    return { lbConfig: { case: 'roundRobinLbConfig', value: { slowStartConfig } } };
  if (lbPolicy === Cluster_LbPolicy.LEAST_REQUEST)
    return { lbConfig: { case: 'leastRequestLbConfig', value: { slowStartConfig } } };
  return {};
}
