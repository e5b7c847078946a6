import type { Clock, ClockTimer } from '@meltemi/base';

/** Turns many events into few runs. */
export interface Debouncer extends Disposable {
  /** Something happened; a run will follow. */
  notify(): void;
}

/** When to run. */
export interface DebouncerOptions {
  readonly clock: Clock;
  /** Runs after so long without an event. */
  readonly quietMs: number;
  /** Runs after so long in any case, counted from the first event. */
  readonly maxDelayMs: number;
  readonly run: () => void;
}

/** Creates a debouncer; it starts no timer before the first event. */
export function createDebouncer({ clock, quietMs, maxDelayMs, run }: DebouncerOptions): Debouncer {
  let firstMs: number | undefined;
  let timer: ClockTimer | undefined;
  const fire = (): void => {
    firstMs = undefined;
    timer = undefined;
    run();
  };
  return {
    notify() {
      const nowMs = clock.monotonicMs();
      firstMs ??= nowMs;
      timer?.cancel();
      timer = clock.setTimer(fire, Math.max(0, Math.min(quietMs, firstMs + maxDelayMs - nowMs)));
    },
    [Symbol.dispose]() {
      timer?.cancel();
    },
  };
}
