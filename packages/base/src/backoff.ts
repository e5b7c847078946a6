/** Random numbers in [0, 1), handed in so that tests can seed them. */
export type Random = () => number;

/** The machine's random numbers. */
export const systemRandom: Random = () => Math.random();

/** Bounds of a back-off. */
export interface BackoffOptions {
  readonly baseMs: number;
  readonly maxMs: number;
  readonly random: Random;
}

/**
 * Exponential back-off with full jitter: the n-th delay is uniform in [0, min(maxMs, baseMs × 2ⁿ)], and never below a
 * tenth of that bound so that a run of small draws cannot hammer the peer.
 */
export function createBackoff({ baseMs, maxMs, random }: BackoffOptions): { nextMs(): number; reset(): void } {
  let attempt = 0;
  return {
    nextMs() {
      const bound = Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 30));
      attempt += 1;
      return bound * Math.max(0.1, random());
    },
    reset() {
      attempt = 0;
    },
  };
}
