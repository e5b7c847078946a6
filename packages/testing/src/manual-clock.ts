import type { Clock, ClockTimer } from '@meltemi/base';

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  readonly #startedMs: number;
  #elapsedMs = 0;
  readonly #timers = new Set<{ readonly atMs: number; readonly callback: () => void }>();

  /** @param startedMs Wall-clock time at the start, Unix milliseconds. */
  constructor(startedMs: number = Date.UTC(2026, 0, 1)) {
    this.#startedMs = startedMs;
  }

  nowMs(): number {
    return this.#startedMs + this.#elapsedMs;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  setTimer(callback: () => void, delayMs: number): ClockTimer {
    const timer = { atMs: this.#elapsedMs + delayMs, callback };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  /** Moves on, and runs what is due on the way, in its order; what that sets up is due as well. */
  advance(byMs: number): void {
    const untilMs = this.#elapsedMs + byMs;
    for (;;) {
      const [next] = [...this.#timers].filter(({ atMs }) => atMs <= untilMs).toSorted((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#elapsedMs = next.atMs;
      next.callback();
    }
    this.#elapsedMs = untilMs;
  }
}
