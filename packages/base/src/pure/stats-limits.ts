/** The most bins that a histogram of Envoy may begin with. */
export const MAX_HISTOGRAM_BINS = 46_082;
const MAX_FLUSH_MS = 300_000;

/** Whether Envoy takes a value as the upper bounds of a histogram: above 0, and no two the same. */
export function isHistogramBounds(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((bound) => typeof bound === 'number' && bound > 0) &&
    new Set(value).size === value.length
  );
}

/** Whether Envoy takes a value as a histogram's number of bins. */
export function isHistogramBinCount(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= MAX_HISTOGRAM_BINS;
}

/** Whether Envoy takes a time as `stats_flush_interval`, milliseconds: 1 to below 5 minutes. */
export function isStatsFlushInterval(milliseconds: number): boolean {
  return milliseconds >= 1 && milliseconds < MAX_FLUSH_MS;
}
