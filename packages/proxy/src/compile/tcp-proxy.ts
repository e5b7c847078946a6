import type { TcpProxy } from '@meltemi/xds/types/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import type { RuntimeTcpProxy } from '../config/listener.ts';
import { compileAccessLogs } from './access-log.ts';
import { CompileError, required } from './compile-error.ts';
import { durationMsOr } from './duration.ts';

const DEFAULT_IDLE_TIMEOUT_MS = 3_600_000;

function compileClusters(specifier: TcpProxy['clusterSpecifier']): RuntimeTcpProxy['clusters'] {
  switch (specifier.case) {
    case 'cluster':
      return [{ name: required(specifier.value, 'cluster'), weight: 1 }];
    case 'weightedClusters':
      return specifier.value.clusters.map(({ name, weight, metadataMatch }) => {
        if (metadataMatch !== undefined) throw new CompileError('weighted_clusters.metadata_match is not supported');
        if (weight < 1) throw new CompileError(`weighted_clusters: weight of ${name} must be at least 1`);
        return { name, weight };
      });
    default:
      throw new CompileError('cluster or weighted_clusters is required');
  }
}

function compileHashPolicies(proxy: TcpProxy): boolean {
  for (const { policySpecifier } of proxy.hashPolicy) {
    if (policySpecifier.case !== 'sourceIp')
      throw new CompileError(`unsupported hash policy ${policySpecifier.case ?? '(none)'}`);
  }
  return proxy.hashPolicy.length > 0;
}

/** Compiles a byte relay. */
export function compileTcpProxy(proxy: TcpProxy): RuntimeTcpProxy {
  if (proxy.tunnelingConfig !== undefined) throw new CompileError('tunneling_config is not supported');
  if (proxy.onDemand !== undefined) throw new CompileError('on_demand is not supported');
  if (proxy.metadataMatch !== undefined) throw new CompileError('metadata_match is not supported');
  return {
    kind: 'tcp_proxy',
    statPrefix: required(proxy.statPrefix, 'stat_prefix'),
    clusters: compileClusters(proxy.clusterSpecifier),
    idleTimeoutMs: durationMsOr(proxy.idleTimeout, DEFAULT_IDLE_TIMEOUT_MS),
    maxConnectAttempts: proxy.maxConnectAttempts ?? 1,
    maxDownstreamConnectionDurationMs: durationMsOr(proxy.maxDownstreamConnectionDuration, 0),
    hashesSourceIp: compileHashPolicies(proxy),
    accessLogs: compileAccessLogs(proxy.accessLog),
  };
}
