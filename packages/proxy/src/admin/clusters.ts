import type { JsonObject } from '@bufbuild/protobuf';
import type { RuntimeCluster, RuntimeThresholds } from '../config/cluster.ts';
import type { ClusterReport, HostReport } from '../config/messages.ts';
import { type AdminCommand, type AdminContext, compileFilter, jsonResponse, textResponse } from './admin-context.ts';

/** Adds the numbers of the same host in all workers; a host is ejected if any worker says so. */
function mergeHosts(reports: readonly (readonly ClusterReport[])[], cluster: string): HostReport[] {
  const merged = new Map<string, HostReport>();
  for (const report of reports) {
    for (const host of report.find(({ name }) => name === cluster)?.hosts ?? []) {
      const known = merged.get(host.address);
      if (known === undefined) {
        merged.set(host.address, host);
        continue;
      }
      const sum = (stat: keyof HostReport['stats']): number => known.stats[stat] + host.stats[stat];
      merged.set(host.address, {
        ...known,
        ejected: known.ejected || host.ejected,
        stats: {
          cxActive: sum('cxActive'),
          cxConnectFail: sum('cxConnectFail'),
          cxTotal: sum('cxTotal'),
          rqActive: sum('rqActive'),
          rqError: sum('rqError'),
          rqSuccess: sum('rqSuccess'),
          rqTimeout: sum('rqTimeout'),
          rqTotal: sum('rqTotal'),
        },
      });
    }
  }
  return [...merged.values()];
}

function healthFlags(host: HostReport): string {
  const flags: string[] = [];
  if (host.ejected) flags.push('/failed_outlier_check');
  if (host.health === 'unhealthy' || host.health === 'draining') flags.push('/failed_eds_health');
  if (host.health === 'degraded') flags.push('/degraded_eds_health');
  return flags.length === 0 ? 'healthy' : flags.join('');
}

function thresholdLines(name: string, priority: string, thresholds: RuntimeThresholds): string[] {
  return [
    `${name}::${priority}_priority::max_connections::${thresholds.maxConnections}`,
    `${name}::${priority}_priority::max_pending_requests::${thresholds.maxPendingRequests}`,
    `${name}::${priority}_priority::max_requests::${thresholds.maxRequests}`,
    `${name}::${priority}_priority::max_retries::${thresholds.maxRetries}`,
  ];
}

function hostLines(name: string, host: HostReport): string[] {
  const { stats } = host;
  const values: readonly (readonly [string, string | number | boolean])[] = [
    ['cx_active', stats.cxActive],
    ['cx_connect_fail', stats.cxConnectFail],
    ['cx_total', stats.cxTotal],
    ['rq_active', stats.rqActive],
    ['rq_error', stats.rqError],
    ['rq_success', stats.rqSuccess],
    ['rq_timeout', stats.rqTimeout],
    ['rq_total', stats.rqTotal],
    ['hostname', host.hostname],
    ['health_flags', healthFlags(host)],
    ['weight', host.weight],
    ['region', host.region],
    ['zone', host.zone],
    ['sub_zone', host.subZone],
    ['canary', false],
    ['priority', host.priority],
    ['success_rate', -1],
    ['local_origin_success_rate', -1],
  ];
  return values.map(([key, value]) => `${name}::${host.address}::${key}::${value}`);
}

function clusterText(cluster: RuntimeCluster, isDynamic: boolean, hosts: readonly HostReport[]): string {
  const { name } = cluster;
  return [
    `${name}::observability_name::${cluster.altStatName ?? name}`,
    ...thresholdLines(name, 'default', cluster.breakers.default),
    ...thresholdLines(name, 'high', cluster.breakers.high),
    `${name}::added_via_api::${isDynamic}`,
    ...(cluster.discovery.kind === 'eds' ? [`${name}::eds_service_name::${cluster.endpointsName}`] : []),
    ...hosts.flatMap((host) => hostLines(name, host)),
  ]
    .map((line) => `${line}\n`)
    .join('');
}

/** A stat in proto JSON: zero values are left out, and counters are the default type. */
function statJson(name: string, value: number, type?: 'GAUGE'): JsonObject {
  return { ...(type === undefined ? {} : { type }), ...(value === 0 ? {} : { value: String(value) }), name };
}

function addressJson(address: string): JsonObject {
  const separator = address.lastIndexOf(':');
  if (separator === -1 || address.startsWith('/')) return { pipe: { path: address } };
  return {
    socket_address: {
      address: address.slice(0, separator).replace(/^\[|\]$/g, ''),
      port_value: Number(address.slice(separator + 1)),
    },
  };
}

function hostJson(host: HostReport): JsonObject {
  const { stats } = host;
  const locality: JsonObject = {};
  if (host.region !== '') locality['region'] = host.region;
  if (host.zone !== '') locality['zone'] = host.zone;
  if (host.subZone !== '') locality['sub_zone'] = host.subZone;
  const edsHealth = { healthy: 'HEALTHY', degraded: 'DEGRADED', unhealthy: 'UNHEALTHY', draining: 'DRAINING' } as const;
  return {
    address: addressJson(host.address),
    stats: [
      statJson('cx_connect_fail', stats.cxConnectFail),
      statJson('cx_total', stats.cxTotal),
      statJson('rq_error', stats.rqError),
      statJson('rq_success', stats.rqSuccess),
      statJson('rq_timeout', stats.rqTimeout),
      statJson('rq_total', stats.rqTotal),
      statJson('cx_active', stats.cxActive, 'GAUGE'),
      statJson('rq_active', stats.rqActive, 'GAUGE'),
    ],
    health_status: {
      ...(host.ejected ? { failed_outlier_check: true } : {}),
      eds_health_status: edsHealth[host.health],
    },
    ...(host.hostname === '' ? {} : { hostname: host.hostname }),
    weight: host.weight,
    ...(host.priority === 0 ? {} : { priority: host.priority }),
    locality,
  };
}

function thresholdsJson(thresholds: RuntimeThresholds, priority?: 'HIGH'): JsonObject {
  return {
    ...(priority === undefined ? {} : { priority }),
    max_connections: thresholds.maxConnections,
    max_pending_requests: thresholds.maxPendingRequests,
    max_requests: thresholds.maxRequests,
    max_retries: thresholds.maxRetries,
  };
}

function clusterJson(cluster: RuntimeCluster, isDynamic: boolean, hosts: readonly HostReport[]): JsonObject {
  return {
    name: cluster.name,
    ...(isDynamic ? { added_via_api: true } : {}),
    ...(hosts.length === 0 ? {} : { host_statuses: hosts.map(hostJson) }),
    circuit_breakers: {
      thresholds: [thresholdsJson(cluster.breakers.default), thresholdsJson(cluster.breakers.high, 'HIGH')],
    },
    observability_name: cluster.altStatName ?? cluster.name,
    ...(cluster.discovery.kind === 'eds' ? { eds_service_name: cluster.endpointsName } : {}),
  };
}

async function collect(
  context: AdminContext,
  query: URLSearchParams,
): Promise<{ cluster: RuntimeCluster; isDynamic: boolean; hosts: HostReport[] }[]> {
  const accepts = await compileFilter(query.get('filter'));
  const reports = await context.pool.describeClusters();
  return [...context.configuration.clusters.active.values()]
    .filter(({ name }) => accepts(name))
    .map(({ name, isStatic, compiled }) => ({
      cluster: compiled.runtime,
      isDynamic: !isStatic,
      hosts: mergeHosts(reports, name),
    }));
}

/** `/clusters`: hosts and their numbers. */
export const clustersCommand: AdminCommand = {
  path: '/clusters',
  isMutation: false,
  help: 'upstream cluster status; ?format=json, ?filter=',
  async run(context, query) {
    const clusters = await collect(context, query);
    if (query.get('format') === 'json') {
      const statuses = clusters.map(({ cluster, isDynamic, hosts }) => clusterJson(cluster, isDynamic, hosts));
      return jsonResponse({ cluster_statuses: statuses });
    }
    return textResponse(
      clusters.map(({ cluster, isDynamic, hosts }) => clusterText(cluster, isDynamic, hosts)).join(''),
    );
  },
};
