import type { ConnectionPoolSettings, MeshConfig } from '@meltemi/api';
import { isHttp2Protocol, isHttpProtocol, type Protocol } from '@meltemi/model';
import type { ClusterSchema } from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import { HttpProtocolOptionsSchema } from '@meltemi/xds/types/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import { defined, durationOf, type Init, packAny } from '../protobuf-values.ts';

type ClusterInit = Init<typeof ClusterSchema>;

/** Envoy's largest 32-bit count: limits that nobody set must not bite, and Envoy's own default of 1024 would. */
const UNLIMITED = 4_294_967_295;
const HTTP_PROTOCOL_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

/** Circuit breakers, timeouts and keepalive of a cluster. */
export function buildConnectionPool(pool: ConnectionPoolSettings | undefined, meshConfig: MeshConfig): ClusterInit {
  const tcp = pool?.tcp;
  const http = pool?.http;
  const keepalive = { ...meshConfig.tcpKeepalive, ...tcp?.tcpKeepalive };
  const hasKeepalive = meshConfig.tcpKeepalive !== undefined || tcp?.tcpKeepalive !== undefined;
  return defined({
    connectTimeout: durationOf(tcp?.connectTimeout ?? meshConfig.connectTimeout),
    circuitBreakers: {
      thresholds: [
        {
          maxConnections: limit(tcp?.maxConnections),
          maxPendingRequests: limit(http?.http1MaxPendingRequests),
          maxRequests: limit(http?.http2MaxRequests),
          maxRetries: limit(http?.maxRetries),
        },
      ],
    },
    upstreamConnectionOptions: hasKeepalive
      ? {
          tcpKeepalive: defined({
            keepaliveProbes: keepalive.probes,
            keepaliveTime: seconds(keepalive.time),
            keepaliveInterval: seconds(keepalive.interval),
          }),
        }
      : undefined,
  });
}

function limit(count: number | undefined): number {
  // Zero means "not set" in these fields.
  return count === undefined || count === 0 ? UNLIMITED : count;
}

function seconds(text: string | undefined): number | undefined {
  const duration = durationOf(text);
  return duration === undefined ? undefined : Number(duration.seconds);
}

/** How a cluster speaks HTTP. */
export type UpstreamHttp = 'http1' | 'http2' | 'downstream' | 'none';

/** Decides how requests are sent: by the port's protocol, unless the rule upgrades or follows the client. */
export function resolveUpstreamHttp(
  protocol: Protocol,
  pool: ConnectionPoolSettings | undefined,
  meshConfig: MeshConfig,
): UpstreamHttp {
  const policy = pool?.http?.h2UpgradePolicy ?? 'DEFAULT';
  if (isHttp2Protocol(protocol)) return 'http2';
  if (pool?.http?.useClientProtocol === true && (isHttpProtocol(protocol) || protocol === 'auto')) return 'downstream';
  if (policy === 'UPGRADE' && (isHttpProtocol(protocol) || protocol === 'auto')) return 'http2';
  if (policy === 'DEFAULT' && meshConfig.h2UpgradePolicy === 'UPGRADE' && isHttpProtocol(protocol)) return 'http2';
  if (protocol === 'auto') return 'downstream';
  return isHttpProtocol(protocol) ? 'http1' : 'none';
}

/** Whether the SNI, and the name that the certificate must have, come from each request's host. */
export interface AutoHostNames {
  readonly sni: boolean;
  readonly sanValidation: boolean;
}

/** The HTTP options of a cluster; nothing where Envoy's own defaults are what is wanted. */
export function buildHttpOptions(
  http: UpstreamHttp,
  pool: ConnectionPoolSettings | undefined,
  auto: AutoHostNames,
): ClusterInit {
  const idleTimeout = durationOf(pool?.http?.idleTimeout ?? pool?.tcp?.idleTimeout);
  const maxConnectionDuration = durationOf(pool?.tcp?.maxConnectionDuration);
  const maxRequestsPerConnection = pool?.http?.maxRequestsPerConnection || undefined;
  const hasCommon = idleTimeout ?? maxConnectionDuration ?? maxRequestsPerConnection;
  if (http === 'none' || (http === 'http1' && hasCommon === undefined && !auto.sni)) return {};
  const http2ProtocolOptions = defined({ maxConcurrentStreams: pool?.http?.maxConcurrentStreams || undefined });
  const options: Init<typeof HttpProtocolOptionsSchema> = {
    upstreamProtocolOptions:
      http === 'downstream'
        ? { case: 'useDownstreamProtocolConfig', value: { httpProtocolOptions: {}, http2ProtocolOptions } }
        : {
            case: 'explicitHttpConfig',
            value: {
              protocolConfig:
                http === 'http2'
                  ? { case: 'http2ProtocolOptions', value: http2ProtocolOptions }
                  : { case: 'httpProtocolOptions', value: {} },
            },
          },
    ...(hasCommon === undefined
      ? {}
      : { commonHttpProtocolOptions: defined({ idleTimeout, maxConnectionDuration, maxRequestsPerConnection }) }),
    ...(auto.sni ? { upstreamHttpProtocolOptions: { autoSni: true, autoSanValidation: auto.sanValidation } } : {}),
  };
  return {
    typedExtensionProtocolOptions: { [HTTP_PROTOCOL_OPTIONS]: packAny(HttpProtocolOptionsSchema, options) },
  };
}
