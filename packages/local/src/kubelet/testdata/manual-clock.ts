import type { Clock } from '@meltemi/base';

/** A clock that moves when it is told to; timers run in order of their time, each followed by what it awaited. */
export interface ManualClock extends Clock {
  advance(ms: number): Promise<void>;
}

/** Begins at 0. */
export function createManualClock(): ManualClock {
  let nowMs = 0;
  const timers = new Set<{ readonly atMs: number; readonly run: () => void }>();
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
  };
  return {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    setTimer(run, delayMs) {
      const timer = { atMs: nowMs + delayMs, run };
      timers.add(timer);
      return { cancel: () => void timers.delete(timer) };
    },
    async advance(ms) {
      const untilMs = nowMs + ms;
      for (;;) {
        const due = [...timers].filter(({ atMs }) => atMs <= untilMs).toSorted((left, right) => left.atMs - right.atMs)[0];
        if (due === undefined) break;
        timers.delete(due);
        nowMs = Math.max(nowMs, due.atMs);
        due.run();
        await settle();
      }
      nowMs = untilMs;
    },
  };
}
