import type { RuntimeHistogramSettings, RuntimeStatsMatcher } from '../config/runtime-config.ts';
import { compileStringMatcher } from '../decide/string-match.ts';

/** Envoy's bounds, milliseconds or bytes. */
export const DEFAULT_HISTOGRAM_BOUNDS: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
  3_600_000,
];

/** More bounds than these are cut off: a histogram has its cells in one page. */
export const MAX_HISTOGRAM_BOUNDS = 63;

/** Compiles `stats_matcher`: whether a stat exists, by its flat name. */
export function compileStatsMatcher(matcher: RuntimeStatsMatcher | undefined): (flatName: string) => boolean {
  if (matcher === undefined) return () => true;
  if (matcher.kind === 'reject_all') return () => false;
  const tests = matcher.patterns.map(compileStringMatcher);
  const includes = matcher.kind === 'inclusion';
  return (name) => tests.some((test) => test(name)) === includes;
}

/** Compiles `histogram_bucket_settings`: the bounds of a histogram, by its flat name. The first rule that matches counts. */
export function compileHistogramBounds(
  settings: readonly RuntimeHistogramSettings[],
): (flatName: string) => readonly number[] {
  const rules = settings.map(({ match, bounds }) => ({
    test: compileStringMatcher(match),
    bounds: bounds.slice(0, MAX_HISTOGRAM_BOUNDS),
  }));
  return (name) => rules.find(({ test }) => test(name))?.bounds ?? DEFAULT_HISTOGRAM_BOUNDS;
}
