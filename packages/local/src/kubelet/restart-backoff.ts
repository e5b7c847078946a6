import type { ContainerRecord } from './pod-records.ts';

/** Shorter than Kubernetes' 10 s to 300 s: on one machine someone sits and waits. */
const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 30_000;
/** After running for this long a container counts as healthy again. */
const SETTLED_MS = 120_000;

/**
 * How long a container that has ended, or could not be started, has to wait. The first time it starts again at once.
 *
 * @param ranMs How long the last run took; 0 when there was none.
 * @returns The number of failures in a row, this one included, and the pause.
 */
export function nextRestart(
  { failureCount }: Pick<ContainerRecord, 'failureCount'>,
  ranMs: number,
): { readonly failureCount: number; readonly delayMs: number } {
  const count = (ranMs >= SETTLED_MS ? 0 : failureCount) + 1;
  if (count === 1) return { failureCount: count, delayMs: 0 };
  return { failureCount: count, delayMs: Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (count - 2)) };
}
