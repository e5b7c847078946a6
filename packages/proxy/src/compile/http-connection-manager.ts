import { HttpProtocolOptions_HeadersWithUnderscoresAction } from '@meltemi/xds/types/envoy/config/core/v3/protocol_pb.js';
import {
  type HttpConnectionManager,
  HttpConnectionManager_CodecType,
  HttpConnectionManager_ForwardClientCertDetails,
  HttpConnectionManager_PathWithEscapedSlashesAction,
  HttpConnectionManager_ServerHeaderTransformation,
} from '@meltemi/xds/types/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { RuntimeHttpConnectionManager } from '../config/listener.ts';
import { compileAccessLogs } from './access-log.ts';
import { at, CompileError, required } from './compile-error.ts';
import { compileReference, type ResourceReference } from './config-source.ts';
import { durationMsOr } from './duration.ts';
import { compileHttpFilters, type HttpFilterContext } from './http-filters.ts';
import { compileCidr } from './matchers.ts';
import { compileRouteConfig } from './route.ts';

/** @see Envoy, http_connection_manager.proto: the documented defaults of each field */
const DEFAULTS = {
  drainTimeoutMs: 5000,
  delayedCloseTimeoutMs: 1000,
  idleTimeoutMs: 3_600_000,
  streamIdleTimeoutMs: 300_000,
  maxHeadersCount: 100,
  maxRequestHeadersKb: 60,
  serverName: 'envoy',
} as const;

/** Envoy has no limit unless one is set; nobody needs longer than this to send a head, except to hold a connection. */
const REQUEST_HEADERS_TIMEOUT_MS = 15_000;

/** A connection manager's place: where referenced route tables are noted. */
export interface HttpConnectionManagerContext extends HttpFilterContext {
  readonly routes: ResourceReference[];
}

const CODECS: Readonly<Partial<Record<HttpConnectionManager_CodecType, RuntimeHttpConnectionManager['codecType']>>> = {
  [HttpConnectionManager_CodecType.AUTO]: 'auto',
  [HttpConnectionManager_CodecType.HTTP1]: 'http1',
  [HttpConnectionManager_CodecType.HTTP2]: 'http2',
};

const SERVER_HEADERS: Readonly<
  Record<HttpConnectionManager_ServerHeaderTransformation, RuntimeHttpConnectionManager['serverHeaderTransformation']>
> = {
  [HttpConnectionManager_ServerHeaderTransformation.OVERWRITE]: 'overwrite',
  [HttpConnectionManager_ServerHeaderTransformation.APPEND_IF_ABSENT]: 'append_if_absent',
  [HttpConnectionManager_ServerHeaderTransformation.PASS_THROUGH]: 'pass_through',
};

const FORWARD_CLIENT_CERT: Readonly<
  Record<HttpConnectionManager_ForwardClientCertDetails, RuntimeHttpConnectionManager['forwardClientCert']>
> = {
  [HttpConnectionManager_ForwardClientCertDetails.SANITIZE]: 'sanitize',
  [HttpConnectionManager_ForwardClientCertDetails.FORWARD_ONLY]: 'forward_only',
  [HttpConnectionManager_ForwardClientCertDetails.APPEND_FORWARD]: 'append_forward',
  [HttpConnectionManager_ForwardClientCertDetails.SANITIZE_SET]: 'sanitize_set',
  [HttpConnectionManager_ForwardClientCertDetails.ALWAYS_FORWARD_ONLY]: 'always_forward_only',
};

const ESCAPED_SLASHES: Readonly<
  Record<HttpConnectionManager_PathWithEscapedSlashesAction, RuntimeHttpConnectionManager['escapedSlashes']>
> = {
  [HttpConnectionManager_PathWithEscapedSlashesAction.IMPLEMENTATION_SPECIFIC_DEFAULT]: 'keep_unchanged',
  [HttpConnectionManager_PathWithEscapedSlashesAction.KEEP_UNCHANGED]: 'keep_unchanged',
  [HttpConnectionManager_PathWithEscapedSlashesAction.REJECT_REQUEST]: 'reject_request',
  [HttpConnectionManager_PathWithEscapedSlashesAction.UNESCAPE_AND_REDIRECT]: 'unescape_and_redirect',
  [HttpConnectionManager_PathWithEscapedSlashesAction.UNESCAPE_AND_FORWARD]: 'unescape_and_forward',
};

const UNDERSCORES: Readonly<
  Record<HttpProtocolOptions_HeadersWithUnderscoresAction, RuntimeHttpConnectionManager['headersWithUnderscores']>
> = {
  [HttpProtocolOptions_HeadersWithUnderscoresAction.ALLOW]: 'allow',
  [HttpProtocolOptions_HeadersWithUnderscoresAction.REJECT_REQUEST]: 'reject_request',
  [HttpProtocolOptions_HeadersWithUnderscoresAction.DROP_HEADER]: 'drop_header',
};

function compileRoutes(
  specifier: HttpConnectionManager['routeSpecifier'],
  context: HttpConnectionManagerContext,
): RuntimeHttpConnectionManager['routes'] {
  switch (specifier.case) {
    case 'rds': {
      const { routeConfigName, configSource } = specifier.value;
      const name = required(routeConfigName, 'rds.route_config_name');
      const reference = compileReference(name, required(configSource, 'rds.config_source'));
      if (reference.source.kind !== 'ads') throw new CompileError('rds: only ads is supported');
      context.routes.push(reference);
      return { kind: 'rds', name };
    }
    case 'routeConfig': {
      const config = specifier.value;
      return { kind: 'inline', config: at('route_config', () => compileRouteConfig(config)) };
    }
    default:
      throw new CompileError(`unsupported route specifier ${specifier.case ?? '(none)'}`);
  }
}

/** Refuses what would change how traffic behaves if it were left out; tracing and local reply texts are left out quietly. */
function refuseUnsupported(manager: HttpConnectionManager): void {
  const unsupported: [boolean, string][] = [
    [manager.originalIpDetectionExtensions.length > 0, 'original_ip_detection_extensions'],
    [manager.earlyHeaderMutationExtensions.length > 0, 'early_header_mutation_extensions'],
    [manager.pathNormalizationOptions !== undefined, 'path_normalization_options'],
    [manager.typedHeaderValidationConfig !== undefined, 'typed_header_validation_config'],
    [manager.upgradeConfigs.some(({ filters }) => filters.length > 0), 'upgrade_configs.filters'],
  ];
  const found = unsupported.find(([isPresent]) => isPresent);
  if (found !== undefined) throw new CompileError(`${found[1]} is not supported`);
}

type Timeouts = Pick<
  RuntimeHttpConnectionManager,
  | 'idleTimeoutMs'
  | 'streamIdleTimeoutMs'
  | 'requestTimeoutMs'
  | 'requestHeadersTimeoutMs'
  | 'maxConnectionDurationMs'
  | 'maxStreamDurationMs'
  | 'drainTimeoutMs'
  | 'delayedCloseTimeoutMs'
>;

function compileTimeouts(manager: HttpConnectionManager): Timeouts {
  const common = manager.commonHttpProtocolOptions;
  return {
    idleTimeoutMs: durationMsOr(common?.idleTimeout, DEFAULTS.idleTimeoutMs),
    streamIdleTimeoutMs: durationMsOr(manager.streamIdleTimeout, DEFAULTS.streamIdleTimeoutMs),
    requestTimeoutMs: durationMsOr(manager.requestTimeout, 0),
    requestHeadersTimeoutMs: durationMsOr(manager.requestHeadersTimeout, REQUEST_HEADERS_TIMEOUT_MS),
    maxConnectionDurationMs: durationMsOr(common?.maxConnectionDuration, 0),
    maxStreamDurationMs: durationMsOr(common?.maxStreamDuration, 0),
    drainTimeoutMs: durationMsOr(manager.drainTimeout, DEFAULTS.drainTimeoutMs),
    delayedCloseTimeoutMs: durationMsOr(manager.delayedCloseTimeout, DEFAULTS.delayedCloseTimeoutMs),
  };
}

/** Compiles HTTP on a filter chain. */
export function compileHttpConnectionManager(
  manager: HttpConnectionManager,
  context: HttpConnectionManagerContext,
): RuntimeHttpConnectionManager {
  refuseUnsupported(manager);
  const codecType = CODECS[manager.codecType];
  if (codecType === undefined) throw new CompileError('codec_type HTTP3 is not supported');
  const common = manager.commonHttpProtocolOptions;
  const http1 = manager.httpProtocolOptions;
  const certificate = manager.setCurrentClientCertDetails;
  return {
    kind: 'http_connection_manager',
    statPrefix: required(manager.statPrefix, 'stat_prefix'),
    codecType,
    routes: compileRoutes(manager.routeSpecifier, context),
    httpFilters: compileHttpFilters(manager.httpFilters, context),
    serverName: manager.serverName === '' ? DEFAULTS.serverName : manager.serverName,
    serverHeaderTransformation: SERVER_HEADERS[manager.serverHeaderTransformation],
    maxRequestHeadersBytes: (manager.maxRequestHeadersKb ?? DEFAULTS.maxRequestHeadersKb) * 1024,
    maxHeadersCount: common?.maxHeadersCount ?? DEFAULTS.maxHeadersCount,
    ...compileTimeouts(manager),
    maxRequestsPerConnection: common?.maxRequestsPerConnection ?? 0,
    useRemoteAddress: manager.useRemoteAddress ?? false,
    xffNumTrustedHops: manager.xffNumTrustedHops,
    skipXffAppend: manager.skipXffAppend,
    internalAddresses: (manager.internalAddressConfig?.cidrRanges ?? []).map(compileCidr),
    generateRequestId: manager.generateRequestId ?? true,
    preserveExternalRequestId: manager.preserveExternalRequestId,
    alwaysSetRequestIdInResponse: manager.alwaysSetRequestIdInResponse,
    forwardClientCert: FORWARD_CLIENT_CERT[manager.forwardClientCertDetails],
    xfccDetails: {
      subject: certificate?.subject ?? false,
      cert: certificate?.cert ?? false,
      chain: certificate?.chain ?? false,
      dns: certificate?.dns ?? false,
      uri: certificate?.uri ?? false,
    },
    proxy100Continue: manager.proxy100Continue,
    upgrades: manager.upgradeConfigs.map(({ upgradeType, enabled }) => ({
      type: upgradeType.toLowerCase(),
      enabled: enabled ?? true,
    })),
    normalizePath: manager.normalizePath ?? false,
    mergeSlashes: manager.mergeSlashes,
    escapedSlashes: ESCAPED_SLASHES[manager.pathWithEscapedSlashesAction],
    stripMatchingHostPort: manager.stripMatchingHostPort,
    stripAnyHostPort: manager.stripPortMode.value ?? false,
    stripTrailingHostDot: manager.stripTrailingHostDot,
    acceptHttp10: http1?.acceptHttp10 ?? false,
    defaultHostForHttp10:
      http1 === undefined || http1.defaultHostForHttp10 === '' ? undefined : http1.defaultHostForHttp10,
    allowAbsoluteUrl: http1?.allowAbsoluteUrl ?? true,
    allowChunkedLength: http1?.allowChunkedLength ?? false,
    headersWithUnderscores: UNDERSCORES[common?.headersWithUnderscoresAction ?? 0] ?? 'allow',
    via: manager.via === '' ? undefined : manager.via,
    accessLogs: compileAccessLogs(manager.accessLog),
  };
}
