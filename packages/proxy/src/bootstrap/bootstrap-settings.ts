import { MeltemiError } from '@meltemi/base';
import { type Bootstrap } from '@meltemi/xds/types/envoy/config/bootstrap/v3/bootstrap_pb.js';
import {
  type ApiConfigSource,
  ApiConfigSource_ApiType,
  type ConfigSource,
} from '@meltemi/xds/types/envoy/config/core/v3/config_source_pb.js';
import type { StatsConfig, StatsMatcher } from '@meltemi/xds/types/envoy/config/metrics/v3/stats_pb.js';
import { compileAddress } from '../compile/address.ts';
import { at, compiling } from '../compile/compile-error.ts';
import { durationMs, durationMsOr } from '../compile/duration.ts';
import { compileStringMatcher } from '../compile/matchers.ts';
import type { RuntimeHostAddress } from '../config/endpoints.ts';
import type { RuntimeHistogramSettings, RuntimeStatsMatcher } from '../config/messages.ts';

/** What the main thread itself does with a bootstrap, in its own words. */
export interface BootstrapSettings {
  readonly admin: RuntimeHostAddress | undefined;
  readonly ads: { readonly cluster: string; readonly isDelta: boolean } | undefined;
  /** Absent: the type is not discovered. 0: wait for ever. */
  readonly cdsTimeoutMs: number | undefined;
  readonly ldsTimeoutMs: number | undefined;
  readonly statsMatcher: RuntimeStatsMatcher | undefined;
  /** Regular expressions that take labels out of stat names, in the order of the bootstrap. */
  readonly statsTags: readonly StatsTag[];
  /** `use_all_default_tags`: names are taken apart by Envoy's own rules as well. */
  readonly usesDefaultStatsTags: boolean;
  readonly histogramSettings: readonly RuntimeHistogramSettings[];
  /** How long a metric of Istio's filters may stay unchanged; `undefined`: for ever. */
  readonly statsEvictionMs: number | undefined;
  /** SO_MARK for all upstream sockets (`upstream_bind_config`). */
  readonly upstreamMark: number | undefined;
  /** File for ejections of hosts (`cluster_manager.outlier_detection`). */
  readonly outlierLogPath: string | undefined;
}

/** A label and where it stands in a stat's name. */
export interface StatsTag {
  readonly name: string;
  /** The first group is cut out of the name; the second, or else the first, is the value. */
  readonly regex: string | undefined;
  readonly fixedValue: string | undefined;
}

const DEFAULT_INITIAL_FETCH_TIMEOUT_MS = 15_000;
const DEFAULT_STATS_FLUSH_MS = 5000;
const SOL_SOCKET = 1;
const SO_MARK = 36;

function readAds(config: ApiConfigSource | undefined): BootstrapSettings['ads'] {
  if (config === undefined) return undefined;
  const { apiType } = config;
  const isDelta =
    apiType === ApiConfigSource_ApiType.DELTA_GRPC || apiType === ApiConfigSource_ApiType.AGGREGATED_DELTA_GRPC;
  const isSotw = apiType === ApiConfigSource_ApiType.GRPC || apiType === ApiConfigSource_ApiType.AGGREGATED_GRPC;
  const service = config.grpcServices[0]?.targetSpecifier;
  if (!isDelta && !isSotw) throw invalid('dynamic_resources.ads_config.api_type', 'GRPC or DELTA_GRPC is needed');
  if (service?.case !== 'envoyGrpc')
    throw invalid('dynamic_resources.ads_config.grpc_services', 'one envoy_grpc service is needed');
  return { cluster: service.value.clusterName, isDelta };
}

function invalid(path: string, message: string): MeltemiError {
  return new MeltemiError('PROXY_BOOTSTRAP_INVALID', `Cannot use the bootstrap: ${path}: ${message}`);
}

function readFetchTimeout(source: ConfigSource | undefined, path: string): number | undefined {
  if (source === undefined) return undefined;
  if (source.configSourceSpecifier.case !== 'ads') throw invalid(path, 'only ads is supported');
  return durationMsOr(source.initialFetchTimeout, DEFAULT_INITIAL_FETCH_TIMEOUT_MS);
}

function readStatsMatcher(matcher: StatsMatcher | undefined): RuntimeStatsMatcher | undefined {
  const specifier = matcher?.statsMatcher;
  switch (specifier?.case) {
    case 'rejectAll':
      return specifier.value ? { kind: 'reject_all' } : undefined;
    case 'inclusionList':
      return { kind: 'inclusion', patterns: specifier.value.patterns.map(compileStringMatcher) };
    case 'exclusionList':
      return { kind: 'exclusion', patterns: specifier.value.patterns.map(compileStringMatcher) };
    default:
      return undefined;
  }
}

/** Rules without bounds, which set the memory of Envoy's histograms, say nothing here. */
function readHistogramSettings(config: StatsConfig | undefined): RuntimeHistogramSettings[] {
  return (config?.histogramBucketSettings ?? [])
    .map(({ match, buckets }, index) => ({
      match: at(`[${index}].match`, () => compileStringMatcher(match)),
      bounds: buckets.toSorted((left, right) => left - right),
    }))
    .filter(({ bounds }) => bounds.length > 0);
}

/** Statistics are not flushed here, but Envoy evicts them only then: what it refuses is refused. */
function readStatsEviction(bootstrap: Bootstrap): number | undefined {
  const { statsFlush, statsEvictionInterval } = bootstrap;
  if (statsEvictionInterval === undefined) return undefined;
  const flush = bootstrap.statsFlushInterval;
  const evictionMs = durationMs(statsEvictionInterval);
  if (statsFlush.case !== 'statsFlushOnAdmin' && evictionMs % durationMsOr(flush, DEFAULT_STATS_FLUSH_MS) !== 0)
    throw invalid('stats_eviction_interval', 'a multiple of stats_flush_interval is needed');
  return evictionMs;
}

function readUpstreamMark(bootstrap: Bootstrap): number | undefined {
  const options = bootstrap.clusterManager?.upstreamBindConfig?.socketOptions ?? [];
  const mark = options.find(({ level, name }) => level === BigInt(SOL_SOCKET) && name === BigInt(SO_MARK));
  return mark?.value.case === 'intValue' ? Number(mark.value.value) : undefined;
}

/**
 * Reads the parts of a bootstrap that are not resources.
 *
 * @throws MeltemiError `PROXY_BOOTSTRAP_INVALID` naming the field path.
 */
export function readBootstrapSettings(bootstrap: Bootstrap): BootstrapSettings {
  const dynamic = bootstrap.dynamicResources;
  const compiled = compiling(() => ({
    admin:
      bootstrap.admin?.address === undefined
        ? undefined
        : at('admin.address', () => compileAddress(bootstrap.admin?.address)),
    statsMatcher: at('stats_config.stats_matcher', () => readStatsMatcher(bootstrap.statsConfig?.statsMatcher)),
    histogramSettings: at('stats_config.histogram_bucket_settings', () => readHistogramSettings(bootstrap.statsConfig)),
  }));
  if (!compiled.ok) throw new MeltemiError('PROXY_BOOTSTRAP_INVALID', `Cannot use the bootstrap: ${compiled.error}`);
  return {
    ...compiled.value,
    ads: readAds(dynamic?.adsConfig),
    cdsTimeoutMs: readFetchTimeout(dynamic?.cdsConfig, 'dynamic_resources.cds_config'),
    ldsTimeoutMs: readFetchTimeout(dynamic?.ldsConfig, 'dynamic_resources.lds_config'),
    statsTags: (bootstrap.statsConfig?.statsTags ?? []).map(({ tagName, tagValue }) => ({
      name: tagName,
      regex: tagValue.case === 'regex' ? tagValue.value : undefined,
      fixedValue: tagValue.case === 'fixedValue' ? tagValue.value : undefined,
    })),
    usesDefaultStatsTags: bootstrap.statsConfig?.useAllDefaultTags ?? true,
    statsEvictionMs: readStatsEviction(bootstrap),
    upstreamMark: readUpstreamMark(bootstrap),
    outlierLogPath: bootstrap.clusterManager?.outlierDetection?.eventLogPath || undefined,
  };
}
