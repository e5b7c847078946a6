import type { MergedHistogram, MergedStat } from '../lifecycle/worker-stats.ts';
import { flatStatName } from '../stats/stat-name.ts';
import { type AdminContext, compileFilter, isSet } from './admin-context.ts';

/** A stat's name in text form. */
export function flatName({ name, labels }: MergedStat): string {
  return flatStatName(name, labels);
}

/** One matcher per context. */
const matchers = new WeakMap<AdminContext, Promise<(name: string) => boolean>>();

/** The workers keep no stat that is not wanted; the main thread's are few and are left out here. */
function matcherOf(context: AdminContext): Promise<(name: string) => boolean> {
  let matcher = matchers.get(context);
  if (matcher === undefined) {
    // Loaded here: the main thread has no other use for regular expressions of RE2.
    matcher = import('../stats/stats-matcher.ts').then(({ compileStatsMatcher }) =>
      compileStatsMatcher(context.statsMatcher),
    );
    matchers.set(context, matcher);
  }
  return matcher;
}

const toStat = (kind: 'counter' | 'gauge', name: string, value: number): MergedStat => ({
  name,
  kind,
  labels: undefined,
  value,
  histogram: undefined,
});

/** All stats of the process: the main thread's and the sums over the workers, filtered as the query asks. */
export async function listStats(context: AdminContext, query: URLSearchParams): Promise<MergedStat[]> {
  const accepts = await compileFilter(query.get('filter'));
  const exists = await matcherOf(context);
  const usedOnly = isSet(query, 'usedonly');
  const wantedType = (query.get('type') ?? 'All').toLowerCase();
  const ofMainThread = [
    ...[...context.stats.counters()].map(([name, value]) => toStat('counter', name, value)),
    ...[...context.stats.gauges()].map(([name, value]) => toStat('gauge', name, value)),
  ].filter(({ name }) => exists(name));
  const all = [...ofMainThread, ...context.pool.stats.merge()];
  return all
    .filter((stat) => wantedType === 'all' || wantedType === `${stat.kind}s`)
    .filter((stat) => !usedOnly || (stat.histogram === undefined ? stat.value !== 0 : stat.histogram.count > 0))
    .filter((stat) => accepts(flatName(stat)))
    .sort((left, right) => (flatName(left) < flatName(right) ? -1 : 1));
}

/** The quantiles that Envoy shows, in percent. */
export const QUANTILES: readonly number[] = [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100];

/** A quantile, interpolated inside its bucket; exact only up to the width of the bucket. */
export function quantileOf({ bounds, bucketCounts, count }: MergedHistogram, percent: number): number {
  const rank = (percent / 100) * count;
  let seen = 0;
  for (const [index, inBucket] of bucketCounts.entries()) {
    const low = index === 0 ? 0 : (bounds[index - 1] ?? 0);
    const high = bounds[index] ?? low;
    if (inBucket > 0 && seen + inBucket >= rank) return low + (high - low) * Math.max(0, (rank - seen) / inBucket);
    seen += inBucket;
  }
  return bounds.at(-1) ?? 0;
}
