import type { Any } from '@bufbuild/protobuf/wkt';
import { anyIs } from '@bufbuild/protobuf/wkt';
import { FilterConfigSchema as RouteFilterConfigSchema } from '@meltemi/xds/types/envoy/config/route/v3/route_components_pb.js';
import { CompressorSchema } from '@meltemi/xds/types/envoy/extensions/filters/http/compressor/v3/compressor_pb.js';
import {
  type CorsPolicy,
  CorsPolicySchema,
  CorsSchema,
} from '@meltemi/xds/types/envoy/extensions/filters/http/cors/v3/cors_pb.js';
import { type HTTPFault, HTTPFaultSchema } from '@meltemi/xds/types/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { FilterConfigSchema as GrpcStatsSchema } from '@meltemi/xds/types/envoy/extensions/filters/http/grpc_stats/v3/config_pb.js';
import { RouterSchema } from '@meltemi/xds/types/envoy/extensions/filters/http/router/v3/router_pb.js';
import type { HttpFilter } from '@meltemi/xds/types/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { RuntimeCorsPolicy, RuntimeFault, RuntimeHttpFilter } from '../config/http-filter.ts';
import type { RuntimeFilterOverrides } from '../config/route.ts';
import { at, CompileError } from './compile-error.ts';
import { compileCompressor } from './compressor.ts';
import { durationMsOr } from './duration.ts';
import {
  compileAlpn,
  compileIstioStats,
  compilePeerMetadata,
  FilterConfigSchema,
  PeerMetadataSchema,
  PluginConfigSchema,
  type StatsReporter,
} from './istio-filters.ts';
import { compileFraction, compileHeaderMatcher, compileRuntimeFraction, compileStringMatcher } from './matchers.ts';
import { compileExtension, decodeAny, type ExtensionTable, extension, typeNameOf } from './typed-config.ts';

/** A filter's own part, without its configured name. */
type FilterBody = RuntimeHttpFilter extends infer Filter
  ? Filter extends unknown
    ? Omit<Filter, 'name' | 'disabled'>
    : never
  : never;

/** What filters need to know about where they stand. */
export interface HttpFilterContext {
  readonly reporter: StatsReporter;
}

const textOrNone = (text: string): string | undefined => (text === '' ? undefined : text);

/** Compiles injected failures. */
export function compileFault(fault: HTTPFault): RuntimeFault {
  if (fault.responseRateLimit !== undefined) throw new CompileError('response_rate_limit is not supported');
  if (fault.downstreamNodes.length > 0) throw new CompileError('downstream_nodes is not supported');
  const delay = fault.delay?.faultDelaySecifier;
  const abort = fault.abort?.errorType;
  if (delay?.case === 'headerDelay' || abort?.case === 'headerAbort') {
    throw new CompileError('faults controlled by headers are not supported');
  }
  return {
    delay:
      delay?.case === 'fixedDelay'
        ? { fixedMs: durationMsOr(delay.value, 0), fraction: compileFraction(fault.delay?.percentage, 0) }
        : undefined,
    abort:
      abort?.case === undefined
        ? undefined
        : {
            httpStatus: abort.case === 'httpStatus' ? abort.value : undefined,
            grpcStatus: abort.case === 'grpcStatus' ? abort.value : undefined,
            fraction: compileFraction(fault.abort?.percentage, 0),
          },
    headers: fault.headers.map(compileHeaderMatcher),
    upstreamCluster: fault.upstreamCluster,
    maxActiveFaults: fault.maxActiveFaults,
  };
}

/** Compiles cross-origin rules; the route's own field and the filter's per-route type have the same members. */
export function compileCors(policy: Omit<CorsPolicy, '$typeName'>): RuntimeCorsPolicy {
  return {
    enabled: compileRuntimeFraction(policy.filterEnabled, 100).perMillion > 0,
    allowOrigins: policy.allowOriginStringMatch.map(compileStringMatcher),
    allowMethods: textOrNone(policy.allowMethods),
    allowHeaders: textOrNone(policy.allowHeaders),
    exposeHeaders: textOrNone(policy.exposeHeaders),
    maxAge: textOrNone(policy.maxAge),
    allowCredentials: policy.allowCredentials ?? false,
    forwardNotMatchingPreflights: policy.forwardNotMatchingPreflights ?? true,
  };
}

const HTTP_FILTERS: ExtensionTable<HttpFilterContext, FilterBody> = new Map([
  extension(
    RouterSchema,
    (router): FilterBody => ({ kind: 'router', suppressEnvoyHeaders: router.suppressEnvoyHeaders }),
  ),
  extension(HTTPFaultSchema, (fault): FilterBody => ({ kind: 'fault', fault: compileFault(fault) })),
  extension(CompressorSchema, (config): FilterBody => ({ kind: 'compressor', compressor: compileCompressor(config) })),
  extension(CorsSchema, (): FilterBody => ({ kind: 'cors' })),
  extension(GrpcStatsSchema, (): FilterBody => ({ kind: 'grpc_stats' })),
  extension(
    PeerMetadataSchema,
    (config): FilterBody => ({ kind: 'peer_metadata', peerMetadata: compilePeerMetadata(config) }),
  ),
  extension(
    PluginConfigSchema,
    (config, { reporter }: HttpFilterContext): FilterBody => ({
      kind: 'istio_stats',
      stats: compileIstioStats(config, reporter),
    }),
  ),
  extension(FilterConfigSchema, (config): FilterBody => ({ kind: 'istio_alpn', overrides: compileAlpn(config) })),
]);

/** Type names of the HTTP filters that this proxy has. */
export const HTTP_FILTER_TYPES: readonly string[] = [...HTTP_FILTERS.keys()];

function compileFilter(filter: HttpFilter, context: HttpFilterContext): RuntimeHttpFilter[] {
  if (filter.configType.case === 'configDiscovery') throw new CompileError('config_discovery is not supported');
  const any = filter.configType.value;
  if (any !== undefined && filter.isOptional && !HTTP_FILTERS.has(typeNameOf(any))) return [];
  return [{ name: filter.name, disabled: filter.disabled, ...compileExtension(HTTP_FILTERS, any, context) }];
}

/** Compiles the filters of a connection manager: the router last, and nowhere else. */
export function compileHttpFilters(filters: readonly HttpFilter[], context: HttpFilterContext): RuntimeHttpFilter[] {
  const compiled = filters.flatMap((filter, index) =>
    at(`http_filters[${index}] (${filter.name})`, () => compileFilter(filter, context)),
  );
  const routerIndex = compiled.findIndex(({ kind }) => kind === 'router');
  if (routerIndex === -1)
    throw new CompileError('no terminal filter in http_filters: envoy.filters.http.router is missing');
  if (routerIndex !== compiled.length - 1)
    throw new CompileError('a terminal filter must be the last one of http_filters');
  return compiled;
}

interface OverridesDraft {
  readonly disabled: string[];
  fault: RuntimeFault | undefined;
  cors: RuntimeCorsPolicy | undefined;
}

function addOverride(draft: OverridesDraft, name: string, any: Any): void {
  if (anyIs(any, RouteFilterConfigSchema)) {
    const { config, disabled, isOptional } = decodeAny(any, RouteFilterConfigSchema);
    if (disabled) draft.disabled.push(name);
    else if (config !== undefined) {
      const isKnown = anyIs(config, HTTPFaultSchema) || anyIs(config, CorsPolicySchema);
      if (isKnown || !isOptional) addOverride(draft, name, config);
    }
    return;
  }
  if (anyIs(any, HTTPFaultSchema)) draft.fault = compileFault(decodeAny(any, HTTPFaultSchema));
  else if (anyIs(any, CorsPolicySchema)) draft.cors = compileCors(decodeAny(any, CorsPolicySchema));
  else throw new CompileError(`unsupported type ${typeNameOf(any)}`);
}

/** Compiles `typed_per_filter_config` of a virtual host, route or weighted cluster. */
export function compileFilterOverrides(configs: Readonly<Record<string, Any>>): RuntimeFilterOverrides | undefined {
  const entries = Object.entries(configs);
  if (entries.length === 0) return undefined;
  const draft: OverridesDraft = { disabled: [], fault: undefined, cors: undefined };
  for (const [name, any] of entries) at(`typed_per_filter_config["${name}"]`, () => addOverride(draft, name, any));
  return draft;
}
