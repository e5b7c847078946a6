import type { MergedHistogram, MergedStat } from '../lifecycle/worker-stats.ts';
import { type AdminContext, compileFilter, isSet } from './admin-context.ts';

/** A stat's name in text form; labels become parts, as Envoy writes stats that carry tags of their own. */
export function flatName({ name, labels }: MergedStat): string {
  if (labels === undefined) return name;
  const parts = Object.entries(labels).map(([key, value]) => `${key}.${value}`);
  return ['istiocustom', name, ...parts].join('.');
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
  const usedOnly = isSet(query, 'usedonly');
  const wantedType = (query.get('type') ?? 'All').toLowerCase();
  const all = [
    ...[...context.stats.counters()].map(([name, value]) => toStat('counter', name, value)),
    ...[...context.stats.gauges()].map(([name, value]) => toStat('gauge', name, value)),
    ...context.pool.stats.merge(),
  ];
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
