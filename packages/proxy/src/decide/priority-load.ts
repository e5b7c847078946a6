/** Hosts of one priority, by what may be sent to them. */
export interface PriorityCounts {
  /** Excluded hosts not counted. */
  readonly total: number;
  readonly healthy: number;
  readonly degraded: number;
}

/** The share of requests that each priority gets. */
export interface PriorityLoad {
  /** Percent for the healthy hosts of each priority. */
  readonly healthyPercent: readonly number[];
  /** Percent for the degraded hosts of each priority. The two lists add up to 100, unless there is no host at all. */
  readonly degradedPercent: readonly number[];
  /** Priorities whose hosts are all used, healthy or not, because too few are healthy. */
  readonly panic: readonly boolean[];
}

function availability(available: number, total: number, overprovisioningPercent: number): number {
  return total === 0 ? 0 : Math.min(100, Math.floor((overprovisioningPercent * available) / total));
}

/** Hands out 100 % in the order of priorities, each up to its availability scaled to the sum of all. */
function distribute(
  healthy: readonly number[],
  degraded: readonly number[],
  normalisedTotal: number,
): { healthyPercent: number[]; degradedPercent: number[] } {
  let left = 100;
  const take = (available: number): number => {
    const share = Math.min(left, normalisedTotal === 0 ? 0 : Math.floor((available * 100) / normalisedTotal));
    left -= share;
    return share;
  };
  const healthyPercent = healthy.map(take);
  const degradedPercent = degraded.map(take);
  // Rounding leaves a few percent over; the first priority that gets anything takes them.
  const firstHealthy = healthyPercent.findIndex((percent) => percent > 0);
  const firstDegraded = degradedPercent.findIndex((percent) => percent > 0);
  if (firstHealthy !== -1) healthyPercent[firstHealthy] = (healthyPercent[firstHealthy] as number) + left;
  else if (firstDegraded !== -1) degradedPercent[firstDegraded] = (degradedPercent[firstDegraded] as number) + left;
  return { healthyPercent, degradedPercent };
}

/**
 * Spreads requests over priorities by their health.
 *
 * @param panicThresholdPercent 0 turns panic off.
 * @see Envoy, docs/root/intro/arch_overview/upstream/load_balancing/priority.rst and panic_threshold.rst
 */
export function computePriorityLoad(
  priorities: readonly PriorityCounts[],
  overprovisioningPercent: number,
  panicThresholdPercent: number,
): PriorityLoad {
  const healthy = priorities.map(({ healthy: count, total }) => availability(count, total, overprovisioningPercent));
  const degraded = priorities.map(({ degraded: count, total }) => availability(count, total, overprovisioningPercent));
  const normalisedTotal = Math.min(
    100,
    [...healthy, ...degraded].reduce((sum, percent) => sum + percent, 0),
  );
  const panic = priorities.map(({ total, healthy: good, degraded: fair }) => {
    // Priorities that together can carry everything are not in panic, however few of their hosts are healthy.
    if (normalisedTotal === 100 || total === 0 || panicThresholdPercent === 0) return false;
    return ((good + fair) * 100) / total < panicThresholdPercent;
  });
  const load = distribute(healthy, degraded, normalisedTotal);
  const withHosts = priorities.filter(({ total }) => total > 0);
  const allPanic = withHosts.length > 0 && priorities.every(({ total }, index) => total === 0 || panic[index] === true);
  if (allPanic) return { ...spreadByHostCount(priorities), panic };
  return { ...load, panic };
}

function spreadByHostCount(priorities: readonly PriorityCounts[]): {
  healthyPercent: readonly number[];
  degradedPercent: readonly number[];
} {
  const total = priorities.reduce((sum, priority) => sum + priority.total, 0);
  const healthyPercent = priorities.map((priority) => Math.floor((priority.total * 100) / total));
  const left = 100 - healthyPercent.reduce((sum, percent) => sum + percent, 0);
  const first = priorities.findIndex((priority) => priority.total > 0);
  healthyPercent[first] = (healthyPercent[first] as number) + left;
  return { healthyPercent, degradedPercent: priorities.map(() => 0) };
}

/**
 * Chooses a priority.
 *
 * @param draw In [0, 100).
 * @returns Undefined when no priority has any load.
 */
export function choosePriority(
  load: PriorityLoad,
  draw: number,
): { readonly priority: number; readonly use: 'healthy' | 'degraded' } | undefined {
  let left = draw;
  for (let priority = 0; priority < load.healthyPercent.length; priority++) {
    const percent = load.healthyPercent[priority] as number;
    if (left < percent) return { priority, use: 'healthy' };
    left -= percent;
  }
  for (let priority = 0; priority < load.degradedPercent.length; priority++) {
    const percent = load.degradedPercent[priority] as number;
    if (left < percent) return { priority, use: 'degraded' };
    left -= percent;
  }
  return undefined;
}
