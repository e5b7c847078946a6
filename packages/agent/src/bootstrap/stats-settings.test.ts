import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildPrometheusListener } from './static-listeners.ts';
import { buildStatsSettings, type StatsInput, type StatsSettings } from './stats-settings.ts';

type Pattern = { readonly prefix?: string; readonly suffix?: string; readonly safe_regex?: { readonly regex: string } };

const PREFIXES = [
  ...['cluster_manager', 'listener_manager', 'server', 'cluster.xds-grpc'],
  ...['wasm', 'reporter=', 'component', 'istio'],
];
const SUFFIXES = ['rbac.allowed', 'rbac.denied', 'shadow_allowed', 'shadow_denied'];
const REGEXPS = ['vhost\\..*\\.route\\..*'];

/** @param annotations By their names without `sidecar.istio.io/`. */
function settingsFor(annotations: Readonly<Record<string, string>>, more: Partial<StatsInput> = {}): StatsSettings {
  const named = Object.entries(annotations).map(([name, value]) => [`sidecar.istio.io/${name}`, value]);
  return buildStatsSettings({
    annotations: Object.fromEntries(named),
    proxyConfig: {},
    instanceIps: ['10.11.1.7', 'fd00::7'],
    exitsOnZeroConnections: false,
    isRegexp: () => true,
    ...more,
  });
}

function inclusionsOf({ config }: StatsSettings): Readonly<Record<'prefixes' | 'suffixes' | 'regexps', unknown[]>> {
  const { stats_matcher: matcher } = config as { stats_matcher: { inclusion_list: { patterns: readonly Pattern[] } } };
  const { patterns } = matcher.inclusion_list;
  return {
    prefixes: patterns.flatMap(({ prefix }) => prefix ?? []),
    suffixes: patterns.flatMap(({ suffix }) => suffix ?? []),
    regexps: patterns.flatMap(({ safe_regex: regexp }) => regexp?.regex ?? []),
  };
}

test('without a word of the pod, what readiness and Istio need is kept', () => {
  const settings = settingsFor({});
  assert.deepEqual(inclusionsOf(settings), { prefixes: PREFIXES, suffixes: SUFFIXES, regexps: REGEXPS });
  assert.deepEqual([settings.intervals, settings.warnings], [{}, []]);
  assert.equal(settings.config['histogram_bucket_settings'], undefined);
  const draining = inclusionsOf(settingsFor({}, { exitsOnZeroConnections: true }));
  assert.deepEqual(draining.suffixes, [...SUFFIXES, 'downstream_cx_active']);
});

test('an annotation adds to what is always kept, split at commas, with the addresses of the pod', () => {
  const settings = settingsFor({
    statsInclusionPrefixes: 'cluster.outbound,http.{pod_ip}_, server',
    statsInclusionSuffixes: 'upstream_rq_total,',
    statsInclusionRegexps: '.*active.*,a.b',
  });
  const own = PREFIXES.filter((prefix) => prefix !== 'server');
  const { prefixes, suffixes, regexps } = inclusionsOf(settings);
  assert.deepEqual(prefixes.slice(0, 4), ['cluster.outbound', 'http.10.11.1.7_', 'http.fd00::7_', 'server']);
  assert.deepEqual(prefixes.slice(4), own);
  assert.deepEqual(suffixes, ['upstream_rq_total', ...SUFFIXES]);
  assert.deepEqual(regexps, ['.*active.*', 'a.b', ...REGEXPS]);
});

test("an annotation stands instead of ProxyConfig's list of its kind, and leaves the other kinds", () => {
  const proxyStatsMatcher = { inclusionPrefixes: ['a', 'b'], inclusionSuffixes: ['c'], inclusionRegexps: ['d'] };
  const all = inclusionsOf(settingsFor({}, { proxyConfig: { proxyStatsMatcher } }));
  assert.deepEqual([all.prefixes.slice(0, 2), all.suffixes[0], all.regexps[0]], [['a', 'b'], 'c', 'd']);
  const some = inclusionsOf(settingsFor({ statsInclusionPrefixes: 'z' }, { proxyConfig: { proxyStatsMatcher } }));
  assert.deepEqual([some.prefixes, some.suffixes[0]], [['z', ...PREFIXES], 'c']);
});

test('tags of ProxyConfig and of the annotation are joined, each once', () => {
  const { config } = settingsFor({ extraStatTags: 'a,b,,a.b' }, { proxyConfig: { extraStatTags: ['', 'b', 'c'] } });
  const tags = config['stats_tags'] as readonly { readonly tag_name: string; readonly regex: string }[];
  const extra = tags.slice(-4);
  assert.deepEqual(
    extra.map(({ tag_name: name }) => name),
    ['b', 'c', 'a', 'a.b'],
  );
  assert.equal(
    tags.some(({ tag_name: name }) => name === 'cluster_name'),
    true,
  );
  const match = new RegExp(extra[3]?.regex ?? '').exec('wasmcustom.x.a.b=.=one;.;total');
  assert.deepEqual(match?.slice(1), ['a.b=.=one;.;', 'one']);
});

test('buckets and bins of histograms stand together by prefix', () => {
  const { config } = settingsFor({
    statsHistogramBuckets: '{"istiocustom":[1,5,10],"cluster.xds-grpc":[0.5,7]}',
    statsHistogramBins: '{"istiocustom":200,"server":50}',
  });
  assert.deepEqual(config['histogram_bucket_settings'], [
    { match: { prefix: 'cluster.xds-grpc' }, buckets: [0.5, 7] },
    { match: { prefix: 'istiocustom' }, buckets: [1, 5, 10], bins: 200 },
    { match: { prefix: 'server' }, bins: 50 },
  ]);
});

test('intervals are written as durations of protobuf', () => {
  const { intervals } = settingsFor({ statsFlushInterval: '2500ms', statsEvictionInterval: '1m' });
  assert.deepEqual(intervals, { stats_flush_interval: '2.5s', stats_eviction_interval: '60s' });
  // Without a flush interval, Envoy's of five seconds counts.
  assert.deepEqual(settingsFor({ statsEvictionInterval: '10s' }).intervals, { stats_eviction_interval: '10s' });
});

test('what cannot be followed is left out with a warning, and the proxy starts', () => {
  const table: readonly [name: string, value: string, warning: RegExp][] = [
    ['statsHistogramBuckets', '{"a":', /statsHistogramBuckets: "\{\\"a\\":" is not JSON/],
    ['statsHistogramBuckets', '[1]', /is not a list of upper bounds for each prefix/],
    ['statsHistogramBuckets', '{"a":[0,1]}', /"a": \[0,1\] is not a list of upper bounds/],
    ['statsHistogramBuckets', '{"a":[1,1]}', /"a": \[1,1\] is not a list of upper bounds/],
    ['statsHistogramBins', '{"a":0}', /"a": 0 is not a number of bins/],
    ['statsFlushInterval', 'soon', /statsFlushInterval: "soon" is not a duration/],
    ['statsFlushInterval', '5m', /5m is not between 1ms and 300s/],
    ['statsEvictionInterval', '7s', /7s is not a multiple of the flush interval of 5s/],
    ['statsEvictionInterval', '0', /0 is not a multiple/],
    ['statsCompression', 'lz4', /"lz4" is not one of brotli, br, gzip, zstd, true, false/],
  ];
  const { warnings: _, ...without } = settingsFor({});
  for (const [name, value, expected] of table) {
    const { warnings, ...settings } = settingsFor({ [name]: value });
    assert.equal(warnings.length, 1, name);
    assert.match(warnings[0] ?? '', expected);
    assert.deepEqual(settings, without, name);
  }
});

test('a pattern that Envoy would refuse is left out with a warning; the others stay', () => {
  const settings = settingsFor({ statsInclusionRegexps: 'a.*,(b,c' }, { isRegexp: (pattern) => pattern !== '(b' });
  assert.deepEqual(inclusionsOf(settings).regexps, ['a.*', 'c', ...REGEXPS]);
  assert.deepEqual(settings.warnings, ['statistics: "(b" is not a regular expression of RE2']);
});

test('metrics may be compressed in three ways, unless ProxyConfig or the annotation says otherwise', () => {
  const table: readonly [annotation: string | undefined, proxyConfig: object, expected: readonly string[]][] = [
    [undefined, {}, ['brotli', 'gzip', 'zstd']],
    [undefined, { statsCompression: false }, []],
    ['gzip', { statsCompression: false }, ['gzip']],
    ['br', {}, ['brotli']],
    ['brotli', {}, ['brotli']],
    ['zstd', {}, ['zstd']],
    ['false', {}, []],
    ['true', { statsCompression: false }, ['brotli', 'gzip', 'zstd']],
  ];
  for (const [annotation, proxyConfig, expected] of table) {
    const annotations: Record<string, string> = annotation === undefined ? {} : { statsCompression: annotation };
    const { compression } = settingsFor(annotations, { proxyConfig: { ...proxyConfig } });
    assert.deepEqual(compression, expected, annotation);
    const listener = JSON.stringify(buildPrometheusListener({}, compression));
    const libraries = [...listener.matchAll(/envoy\.extensions\.compression\.(\w+)\.compressor/g)];
    assert.deepEqual(
      libraries.map(([, library]) => library),
      expected,
    );
  }
});
