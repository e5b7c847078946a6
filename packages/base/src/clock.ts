/** Time as everything outside `base` and `main.ts` sees it, so that tests can hold it. */
export interface Clock {
  /** Wall-clock time, Unix milliseconds. */
  nowMs(): number;
  /** Milliseconds from an arbitrary start; never goes back. */
  monotonicMs(): number;
  /** Runs `callback` once after `delayMs`; the timer does not keep the process alive. */
  setTimer(callback: () => void, delayMs: number): ClockTimer;
}

/** A timer that can be called off. */
export interface ClockTimer {
  cancel(): void;
}

/** The machine's clock. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer(callback, delayMs) {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

/**
 * Waits on a clock.
 *
 * @param signal Ends the wait at once; the promise then resolves, it does not reject: callers look at the signal.
 */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = clock.setTimer(done, delayMs);
    signal?.addEventListener('abort', done, { once: true });
  });
}
