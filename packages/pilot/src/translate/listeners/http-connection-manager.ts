import type { MeshConfig } from '@meltemi/api';
import { ApiVersion } from '@meltemi/xds/types/envoy/config/core/v3/config_source_pb.js';
import type { RouteConfigurationSchema } from '@meltemi/xds/types/envoy/config/route/v3/route_pb.js';
import {
  HttpConnectionManager_CodecType,
  HttpConnectionManager_ForwardClientCertDetails,
  HttpConnectionManager_PathWithEscapedSlashesAction,
  HttpConnectionManagerSchema,
} from '@meltemi/xds/types/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { defined, type Init, join, NO_DURATION, namedExtension } from '../protobuf-values.ts';
import type { ProxyFeatures } from '../proxy-node.ts';
import { buildAccessLogs } from './access-log.ts';
import { buildHttpFilters } from './http-filters.ts';
import { type NetworkFilterInit, networkFilter } from './tcp-proxy.ts';

type ManagerInit = Init<typeof HttpConnectionManagerSchema>;

/** What a connection manager is made of. */
export interface HttpConnectionManagerInput {
  /** `gateway`: requests come from outside of the mesh, and what they say of their way is not believed. */
  readonly direction: 'inbound' | 'outbound' | 'gateway';
  /** Without the `;` that ends it. */
  readonly statPrefix: string;
  /** The name of a route configuration that comes by RDS, or the configuration itself. */
  readonly routes: string | Init<typeof RouteConfigurationSchema>;
  /** Whether requests may name the whole URL, as they do to an explicit proxy. Default: as the proxy does by itself. */
  readonly allowsAbsoluteUrls?: boolean;
  readonly meshConfig: MeshConfig;
  readonly features: ProxyFeatures;
}

/** The network filter that speaks HTTP. */
export function buildHttpConnectionManager(input: HttpConnectionManagerInput): NetworkFilterInit {
  const { direction, meshConfig } = input;
  const isInbound = direction === 'inbound';
  const manager: ManagerInit = {
    statPrefix: `${input.statPrefix};`,
    codecType: HttpConnectionManager_CodecType.AUTO,
    routeSpecifier: routeSpecifier(input.routes),
    httpFilters: buildHttpFilters(input.features, isInbound),
    accessLog: buildAccessLogs(meshConfig),
    useRemoteAddress: direction === 'gateway',
    streamIdleTimeout: NO_DURATION,
    proxy100Continue: true,
    upgradeConfigs: [{ upgradeType: 'websocket' }],
    ...buildPathNormalization(meshConfig),
    ...(input.allowsAbsoluteUrls === true ? { httpProtocolOptions: { allowAbsoluteUrl: true } } : {}),
  };
  const inbound: ManagerInit = {
    serverName: 'istio-envoy',
    forwardClientCertDetails: HttpConnectionManager_ForwardClientCertDetails.APPEND_FORWARD,
    setCurrentClientCertDetails: { subject: true, dns: true, uri: true },
  };
  const gateway: ManagerInit = {
    serverName: 'istio-envoy',
    forwardClientCertDetails: HttpConnectionManager_ForwardClientCertDetails.SANITIZE_SET,
    setCurrentClientCertDetails: { subject: true, cert: true, dns: true, uri: true },
  };
  const byDirection = { inbound, outbound: {}, gateway };
  const config = join<typeof HttpConnectionManagerSchema>(manager, byDirection[direction]);
  return networkFilter(
    namedExtension('envoy.filters.network.http_connection_manager', HttpConnectionManagerSchema, config),
  );
}

function routeSpecifier(routes: HttpConnectionManagerInput['routes']): NonNullable<ManagerInit['routeSpecifier']> {
  if (typeof routes !== 'string') return { case: 'routeConfig', value: routes };
  return {
    case: 'rds',
    value: {
      routeConfigName: routes,
      configSource: {
        configSourceSpecifier: { case: 'ads', value: {} },
        initialFetchTimeout: NO_DURATION,
        resourceApiVersion: ApiVersion.V3,
      },
    },
  };
}

function buildPathNormalization({ pathNormalization }: MeshConfig): ManagerInit {
  const mode = pathNormalization.normalization;
  if (mode === 'NONE') return {};
  return defined({
    normalizePath: true,
    mergeSlashes: mode === 'MERGE_SLASHES' || mode === 'DECODE_AND_MERGE_SLASHES',
    pathWithEscapedSlashesAction:
      mode === 'DECODE_AND_MERGE_SLASHES'
        ? HttpConnectionManager_PathWithEscapedSlashesAction.UNESCAPE_AND_FORWARD
        : HttpConnectionManager_PathWithEscapedSlashesAction.KEEP_UNCHANGED,
  });
}
