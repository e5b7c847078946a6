import {
  type Cluster,
  Cluster_DiscoveryType,
  Cluster_DnsLookupFamily,
} from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import type { RuntimeDiscovery } from '../config/cluster.ts';
import type { RuntimeEndpoints } from '../config/endpoints.ts';
import { at, CompileError, required } from './compile-error.ts';
import { compileReference, type ResourceReference } from './config-source.ts';
import { durationMsOr } from './duration.ts';
import { compileEndpoints } from './endpoints.ts';

/** A cluster whose hosts are names that the main thread resolves. */
export interface DnsTarget {
  /** Hosts whose addresses may be names. */
  readonly template: RuntimeEndpoints;
  readonly refreshMs: number;
  readonly family: 'auto' | 'v4_only' | 'v6_only' | 'v4_preferred' | 'all';
  /** LOGICAL_DNS: only the first address of an answer. */
  readonly onlyFirst: boolean;
}

/** Where hosts come from, and what has to be done for it. */
export interface CompiledDiscovery {
  readonly runtime: RuntimeDiscovery;
  readonly endpointsName: string;
  readonly staticEndpoints: RuntimeEndpoints | undefined;
  readonly eds: ResourceReference | undefined;
  readonly dns: DnsTarget | undefined;
}

const DEFAULT_DNS_REFRESH_MS = 5000;
const DEFAULT_ORIGINAL_DST_HEADER = 'x-envoy-original-dst-host';

const FAMILIES: Readonly<Record<Cluster_DnsLookupFamily, DnsTarget['family']>> = {
  [Cluster_DnsLookupFamily.AUTO]: 'auto',
  [Cluster_DnsLookupFamily.V4_ONLY]: 'v4_only',
  [Cluster_DnsLookupFamily.V6_ONLY]: 'v6_only',
  [Cluster_DnsLookupFamily.V4_PREFERRED]: 'v4_preferred',
  [Cluster_DnsLookupFamily.ALL]: 'all',
};

function compileStatic(cluster: Cluster): CompiledDiscovery {
  const assignment = cluster.loadAssignment;
  const staticEndpoints: RuntimeEndpoints =
    assignment === undefined
      ? { name: cluster.name, overprovisioningPercent: 140, localities: [] }
      : at('load_assignment', () => compileEndpoints(assignment, cluster.name));
  return { runtime: { kind: 'static' }, endpointsName: cluster.name, staticEndpoints, eds: undefined, dns: undefined };
}

function compileDns(cluster: Cluster, onlyFirst: boolean): CompiledDiscovery {
  const assignment = required(cluster.loadAssignment, 'load_assignment');
  const dns: DnsTarget = {
    template: at('load_assignment', () => compileEndpoints(assignment, cluster.name, true)),
    refreshMs: durationMsOr(cluster.dnsRefreshRate, DEFAULT_DNS_REFRESH_MS),
    family: FAMILIES[cluster.dnsLookupFamily],
    onlyFirst,
  };
  return { runtime: { kind: 'dns' }, endpointsName: cluster.name, staticEndpoints: undefined, eds: undefined, dns };
}

function compileEds(cluster: Cluster): CompiledDiscovery {
  const config = required(cluster.edsClusterConfig, 'eds_cluster_config');
  const source = required(config.edsConfig, 'eds_cluster_config.eds_config');
  const endpointsName = config.serviceName === '' ? cluster.name : config.serviceName;
  const eds = at('eds_config', () => compileReference(endpointsName, source));
  if (eds.source.kind !== 'ads') throw new CompileError('eds_config: only ads is supported');
  return { runtime: { kind: 'eds' }, endpointsName, staticEndpoints: undefined, eds, dns: undefined };
}

function compileOriginalDst(cluster: Cluster): CompiledDiscovery {
  const config = cluster.lbConfig.case === 'originalDstLbConfig' ? cluster.lbConfig.value : undefined;
  if (config?.metadataKey !== undefined) throw new CompileError('original_dst_lb_config.metadata_key is not supported');
  const header = config?.httpHeaderName ?? '';
  if (header !== '' && header.toLowerCase() !== DEFAULT_ORIGINAL_DST_HEADER) {
    throw new CompileError('original_dst_lb_config.http_header_name is not supported');
  }
  return {
    runtime: {
      kind: 'original_dst',
      useHttpHeader: config?.useHttpHeader ?? false,
      upstreamPortOverride: config?.upstreamPortOverride,
    },
    endpointsName: cluster.name,
    staticEndpoints: undefined,
    eds: undefined,
    dns: undefined,
  };
}

/** Compiles how a cluster finds its hosts. */
export function compileDiscovery(cluster: Cluster): CompiledDiscovery {
  if (cluster.clusterDiscoveryType.case === 'clusterType') {
    throw new CompileError(`unsupported cluster type ${cluster.clusterDiscoveryType.value.name}`);
  }
  switch (cluster.clusterDiscoveryType.value ?? Cluster_DiscoveryType.STATIC) {
    case Cluster_DiscoveryType.STATIC:
      return compileStatic(cluster);
    case Cluster_DiscoveryType.STRICT_DNS:
      return compileDns(cluster, false);
    case Cluster_DiscoveryType.LOGICAL_DNS:
      return compileDns(cluster, true);
    case Cluster_DiscoveryType.EDS:
      return compileEds(cluster);
    case Cluster_DiscoveryType.ORIGINAL_DST:
      return compileOriginalDst(cluster);
  }
}
