import { create } from '@bufbuild/protobuf';
import type { MeshConfig } from '@meltemi/api';
import {
  type Cluster,
  Cluster_DiscoveryType,
  ClusterSchema,
} from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import { type IpFamilies, inboundSource } from '../ip-families.ts';
import { BLACK_HOLE_CLUSTER, INBOUND_PASSTHROUGH_CLUSTER, PASSTHROUGH_CLUSTER, statName } from '../names.ts';
import { type Init, join } from '../protobuf-values.ts';
import type { Translated } from '../translated.ts';
import { buildConnectionPool, buildHttpOptions } from './connection-pool.ts';
import { ORIGINAL_DESTINATION } from './load-balancer.ts';

type ClusterInit = Init<typeof ClusterSchema>;

const FOLLOW_CLIENT = buildHttpOptions('downstream', undefined, { sni: false, sanValidation: false });

/** The clusters that every sidecar has: nowhere, and where the client was going anyway. */
export function buildFixedClusters({
  meshConfig,
  families,
}: {
  readonly meshConfig: MeshConfig;
  readonly families: IpFamilies;
}): readonly Translated<Cluster>[] {
  const pool = buildConnectionPool(meshConfig.defaultTrafficPolicy?.connectionPool, meshConfig);
  return [
    buildBlackHoleCluster({ meshConfig }),
    fixedCluster(PASSTHROUGH_CLUSTER, pool, ORIGINAL_DESTINATION, FOLLOW_CLIENT),
    fixedCluster(INBOUND_PASSTHROUGH_CLUSTER, pool, ORIGINAL_DESTINATION, FOLLOW_CLIENT, inboundSource(families)),
  ];
}

/** The cluster that leads nowhere. */
export function buildBlackHoleCluster({ meshConfig }: { readonly meshConfig: MeshConfig }): Translated<Cluster> {
  const pool = buildConnectionPool(meshConfig.defaultTrafficPolicy?.connectionPool, meshConfig);
  return fixedCluster(BLACK_HOLE_CLUSTER, pool, {
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STATIC },
  });
}

function fixedCluster(name: string, ...parts: readonly ClusterInit[]): Translated<Cluster> {
  const init = join<typeof ClusterSchema>({ name, altStatName: statName(name) }, ...parts);
  return { name, resource: create(ClusterSchema, init), sources: [] };
}
