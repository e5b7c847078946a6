import {
  type Cluster,
  Cluster_ClusterProtocolSelection,
} from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import {
  type HttpProtocolOptions,
  HttpProtocolOptionsSchema,
} from '@meltemi/xds/types/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import type { RuntimeCluster } from '../config/cluster.ts';
import { at, CompileError } from './compile-error.ts';
import { durationMsOr } from './duration.ts';
import type { UpstreamTlsHttpOptions } from './tls-context.ts';
import { decodeAny } from './typed-config.ts';

const OPTIONS_NAME = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const DEFAULT_IDLE_TIMEOUT_MS = 3_600_000;

/** How HTTP is spoken to a cluster. */
export interface UpstreamHttp {
  readonly protocol: RuntimeCluster['protocol'];
  readonly idleTimeoutMs: number;
  readonly maxConnectionDurationMs: number;
  readonly maxRequestsPerConnection: number;
}

function typedOptions(cluster: Cluster): HttpProtocolOptions | undefined {
  const any = cluster.typedExtensionProtocolOptions[OPTIONS_NAME];
  return any === undefined ? undefined : at(OPTIONS_NAME, () => decodeAny(any, HttpProtocolOptionsSchema));
}

function protocolOfOptions(options: HttpProtocolOptions): RuntimeCluster['protocol'] {
  const specifier = options.upstreamProtocolOptions;
  switch (specifier.case) {
    case 'useDownstreamProtocolConfig':
      return 'use_downstream';
    case 'explicitHttpConfig':
      if (specifier.value.protocolConfig.case === 'http3ProtocolOptions')
        throw new CompileError('HTTP/3 is not supported');
      return specifier.value.protocolConfig.case === 'http2ProtocolOptions' ? 'http2' : 'http1';
    case 'autoConfig':
      throw new CompileError('auto_config is not supported');
    default:
      throw new CompileError('upstream_protocol_options is required');
  }
}

function protocolOfCluster(cluster: Cluster): RuntimeCluster['protocol'] {
  if (cluster.protocolSelection === Cluster_ClusterProtocolSelection.USE_DOWNSTREAM_PROTOCOL) return 'use_downstream';
  return cluster.http2ProtocolOptions === undefined ? 'http1' : 'http2';
}

/** Compiles the HTTP options of a cluster, from the typed extension or from the older fields of the cluster itself. */
export function compileUpstreamHttp(cluster: Cluster): UpstreamHttp {
  const options = typedOptions(cluster);
  const common = options?.commonHttpProtocolOptions ?? cluster.commonHttpProtocolOptions;
  return {
    protocol: options === undefined ? protocolOfCluster(cluster) : protocolOfOptions(options),
    idleTimeoutMs: durationMsOr(common?.idleTimeout, DEFAULT_IDLE_TIMEOUT_MS),
    maxConnectionDurationMs: durationMsOr(common?.maxConnectionDuration, 0),
    maxRequestsPerConnection: common?.maxRequestsPerConnection ?? cluster.maxRequestsPerConnection ?? 0,
  };
}

/** What the HTTP options say about server names. */
export function compileTlsHttpOptions(cluster: Cluster): UpstreamTlsHttpOptions {
  const upstream = typedOptions(cluster)?.upstreamHttpProtocolOptions ?? cluster.upstreamHttpProtocolOptions;
  if (upstream !== undefined && upstream.overrideAutoSniHeader !== '') {
    throw new CompileError('override_auto_sni_header is not supported');
  }
  return { autoSni: upstream?.autoSni ?? false, autoSanValidation: upstream?.autoSanValidation ?? false };
}
