import type { Clock, ClockTimer } from '@meltemi/base';
import type { WorkerStats } from './worker-stats.ts';

/** Evicts unused stats as long as it is open. */
export interface StatsEviction {
  start(): void;
  close(): void;
}

/** @param intervalMs `undefined`: nothing is evicted. */
export function createStatsEviction(
  intervalMs: number | undefined,
  { stats, clock }: { readonly stats: Pick<WorkerStats, 'evictUnused'>; readonly clock: Clock },
): StatsEviction {
  let timer: ClockTimer | undefined;
  const arm = (): void => {
    if (intervalMs === undefined) return;
    timer = clock.setTimer(() => {
      stats.evictUnused();
      arm();
    }, intervalMs);
  };
  return { start: arm, close: () => timer?.cancel() };
}
