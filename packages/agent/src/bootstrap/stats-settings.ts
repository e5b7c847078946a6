import {
  err,
  isHistogramBinCount,
  isHistogramBounds,
  isStatsFlushInterval,
  ok,
  parseDurationMs,
  type Result,
} from '@meltemi/base';
import { STATS_TAGS } from './stats-tags.ts';

type Document = Readonly<Record<string, unknown>>;

/** What statistics a proxy keeps depends on. */
export interface StatsInput {
  /** Of the pod. */
  readonly annotations: Readonly<Record<string, string>>;
  /** ProxyConfig as given: `proxyStatsMatcher`, `extraStatTags`, `statsCompression`. */
  readonly proxyConfig: Document;
  /** Replace `{pod_ip}` in inclusions. */
  readonly instanceIps: readonly string[];
  /** A drain that waits for connections to end counts them. */
  readonly exitsOnZeroConnections: boolean;
  /** Whether Envoy takes a pattern: with one that it does not it would not start. */
  readonly isRegexp: (pattern: string) => boolean;
}

/** The part of a bootstrap that is about statistics. */
export interface StatsSettings {
  /** `stats_config`. */
  readonly config: Document;
  /** `stats_flush_interval` and `stats_eviction_interval`, where they are set. */
  readonly intervals: Document;
  /** How scraped statistics may be compressed; a client chooses. */
  readonly compression: readonly StatsCompression[];
  /** What could not be followed, for the log: a statistic is no reason not to start. */
  readonly warnings: readonly string[];
}

/** Names of Envoy's compression libraries. */
export type StatsCompression = 'brotli' | 'gzip' | 'zstd';

const SIDECAR = 'sidecar.istio.io';

/** What readiness, drains and Istio's own metrics need; a pod can add to it and take nothing away. */
const ALWAYS_INCLUDED = {
  prefixes: [
    ...['cluster_manager', 'listener_manager', 'server', 'cluster.xds-grpc'],
    ...['wasm', 'reporter=', 'component', 'istio'],
  ],
  suffixes: ['rbac.allowed', 'rbac.denied', 'shadow_allowed', 'shadow_denied'],
  regexps: ['vhost\\..*\\.route\\..*'],
};
const CONNECTIONS_SUFFIX = 'downstream_cx_active';

const ALL_COMPRESSIONS: readonly StatsCompression[] = ['brotli', 'gzip', 'zstd'];
/** `br` is what HTTP calls brotli. */
const COMPRESSIONS: Readonly<Record<string, readonly StatsCompression[]>> = {
  brotli: ['brotli'],
  br: ['brotli'],
  gzip: ['gzip'],
  zstd: ['zstd'],
  true: ALL_COMPRESSIONS,
  false: [],
};

const DEFAULT_FLUSH_MS = 5000;

/**
 * Reads what a pod says about statistics. An annotation counts instead of the ProxyConfig's field; only extra tags are joined.
 *
 * @see Istio, pkg/bootstrap/config.go, getStatsOptions
 */
export function buildStatsSettings(input: StatsInput): StatsSettings {
  const warnings: string[] = [];
  /** The value of a result; an error is kept for the log. */
  const valueOf = <T>(annotation: string, result: Result<T>): T | undefined => {
    if (result.ok) return result.value;
    warnings.push(`${SIDECAR}/${annotation}: ${result.error}`);
    return undefined;
  };
  const read = <T>(annotation: string, parse: (value: string) => Result<T>): T | undefined => {
    const value = input.annotations[`${SIDECAR}/${annotation}`];
    return value === undefined ? undefined : valueOf(annotation, parse(value));
  };
  const flushMs = read('statsFlushInterval', parseFlushMs);
  const evictionMs = read('statsEvictionInterval', (value) => parseEvictionMs(value, flushMs ?? DEFAULT_FLUSH_MS));
  const buckets = read('statsHistogramBuckets', (value) =>
    parseByPrefix(value, isHistogramBounds, 'a list of upper bounds'),
  );
  const bins = read('statsHistogramBins', (value) => parseByPrefix(value, isHistogramBinCount, 'a number of bins'));
  const { patterns, refused } = buildInclusions(input);
  warnings.push(...refused.map((pattern) => `statistics: "${pattern}" is not a regular expression of RE2`));
  const histograms = buildHistogramSettings(buckets ?? {}, bins ?? {});
  return {
    config: {
      use_all_default_tags: false,
      stats_tags: [...STATS_TAGS, ...extraTags(input)],
      ...(histograms.length === 0 ? {} : { histogram_bucket_settings: histograms }),
      stats_matcher: { inclusion_list: { patterns } },
    },
    intervals: {
      ...(flushMs === undefined ? {} : { stats_flush_interval: toProtoDuration(flushMs) }),
      ...(evictionMs === undefined ? {} : { stats_eviction_interval: toProtoDuration(evictionMs) }),
    },
    compression: read('statsCompression', parseCompression) ?? compressionOf(input.proxyConfig),
    warnings,
  };
}

/** The regular expressions that the pod or ProxyConfig give. */
export function ownRegexps(input: Pick<StatsInput, 'annotations' | 'proxyConfig'>): readonly string[] {
  return chosenPatterns(input, 'Regexps');
}

type PatternKind = 'Prefixes' | 'Suffixes' | 'Regexps';

function chosenPatterns(
  { annotations, proxyConfig }: Pick<StatsInput, 'annotations' | 'proxyConfig'>,
  kind: PatternKind,
): readonly string[] {
  const annotated = splitList(annotations[`${SIDECAR}/statsInclusion${kind}`]);
  const { proxyStatsMatcher: matcher } = proxyConfig;
  return annotated.length > 0 ? annotated : readStrings(isDocument(matcher) ? matcher[`inclusion${kind}`] : []);
}

function buildInclusions(input: StatsInput): {
  readonly patterns: readonly Document[];
  /** Regular expressions that are none. */
  readonly refused: readonly string[];
} {
  const { prefixes, suffixes, regexps } = ALWAYS_INCLUDED;
  const connections = input.exitsOnZeroConnections ? [CONNECTIONS_SUFFIX] : [];
  const chosen = (kind: PatternKind): readonly string[] =>
    chosenPatterns(input, kind).flatMap((pattern) => putAddresses(pattern, input.instanceIps));
  const own = chosen('Regexps');
  const patterns = [
    ...unique([...chosen('Prefixes'), ...prefixes]).map((prefix) => ({ prefix })),
    ...unique([...chosen('Suffixes'), ...suffixes, ...connections]).map((suffix) => ({ suffix })),
    ...unique([...own.filter(input.isRegexp), ...regexps]).map((regex) => ({ safe_regex: { regex } })),
  ];
  return { patterns, refused: own.filter((pattern) => !input.isRegexp(pattern)) };
}

function unique(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)];
}

/** `http.{pod_ip}_` names the inbound listeners, wherever the pod runs: one pattern for each of its addresses. */
function putAddresses(pattern: string, addresses: readonly string[]): readonly string[] {
  return pattern.includes('{pod_ip}') ? addresses.map((address) => pattern.replaceAll('{pod_ip}', address)) : [pattern];
}

/** Statistics of plugins carry a tag as `name=.=value;.;` in their name. */
function extraTags({ annotations, proxyConfig }: StatsInput): readonly Document[] {
  const names = [...readStrings(proxyConfig['extraStatTags']), ...splitList(annotations[`${SIDECAR}/extraStatTags`])];
  return unique(names).map((name) => ({
    tag_name: name,
    regex: `(${name.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')}=\\.=(.*?);\\.;)`,
  }));
}

function buildHistogramSettings(
  buckets: Readonly<Record<string, unknown>>,
  bins: Readonly<Record<string, unknown>>,
): readonly Document[] {
  const prefixes = unique([...Object.keys(buckets), ...Object.keys(bins)]).toSorted();
  return prefixes.map((prefix) => ({
    match: { prefix },
    ...(prefix in buckets ? { buckets: buckets[prefix] } : {}),
    ...(prefix in bins ? { bins: bins[prefix] } : {}),
  }));
}

function parseByPrefix(
  text: string,
  isValue: (value: unknown) => boolean,
  what: string,
): Result<Readonly<Record<string, unknown>>> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return err(`${JSON.stringify(text)} is not JSON`);
  }
  if (!isDocument(parsed)) return err(`${text} is not ${what} for each prefix`);
  const bad = Object.entries(parsed).find(([prefix, value]) => prefix === '' || !isValue(value));
  return bad === undefined ? ok(parsed) : err(`"${bad[0]}": ${JSON.stringify(bad[1])} is not ${what}`);
}

function parseFlushMs(text: string): Result<number> {
  const duration = parseDurationMs(text);
  if (!duration.ok) return duration;
  // Envoy would refuse the bootstrap.
  return isStatsFlushInterval(duration.value)
    ? duration
    : err(`${text} is not between 1ms and 300s; the default of 5s counts`);
}

function parseEvictionMs(text: string, flushMs: number): Result<number> {
  const duration = parseDurationMs(text);
  if (!duration.ok) return duration;
  return duration.value > 0 && duration.value % flushMs === 0
    ? duration
    : err(`${text} is not a multiple of the flush interval of ${flushMs / 1000}s`);
}

function parseCompression(text: string): Result<readonly StatsCompression[]> {
  const compression = Object.hasOwn(COMPRESSIONS, text) ? COMPRESSIONS[text] : undefined;
  return compression === undefined
    ? err(`"${text}" is not one of ${Object.keys(COMPRESSIONS).join(', ')}`)
    : ok(compression);
}

function compressionOf({ statsCompression }: Document): readonly StatsCompression[] {
  return statsCompression === false ? [] : ALL_COMPRESSIONS;
}

function toProtoDuration(durationMs: number): string {
  return `${durationMs / 1000}s`;
}

function splitList(text = ''): readonly string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function readStrings(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string' && item !== '') : [];
}

function isDocument(value: unknown): value is Document {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
