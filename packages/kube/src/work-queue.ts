import { type Clock, type ClockTimer, createBackoff, type Random } from '@meltemi/base';

/** What a queue does with its keys. */
export interface WorkQueueOptions {
  /** Does the work of one key. Runs for one key at a time. */
  readonly work: (key: string) => Promise<void>;
  /** Told of each failure; the key is tried again after `retryMs`. */
  readonly onError: (key: string, error: unknown, retryMs: number) => void;
  readonly clock: Clock;
  readonly random: Random;
  /** Bounds of the pause before a failed key is tried again. Default 100 ms and 30 s. */
  readonly backoff?: { readonly baseMs: number; readonly maxMs: number };
  /** In place of the back-off: the pause after the n-th failure of a key in a row, counted from 1. */
  readonly pauseMs?: (failureCount: number) => number;
}

/** Keys whose work is to be done, one after the other; a key that waits already is not added twice. */
export interface WorkQueue extends AsyncDisposable {
  add(key: string): void;
  /** Adds the key after a time, unless it is added earlier by somebody else; the earliest time counts. */
  addAfter(key: string, delayMs: number): void;
  /** Resolves when no key waits or is worked on; keys that wait for a time or a retry do not count. */
  idle(): Promise<void>;
}

const DEFAULT_BACKOFF = { baseMs: 100, maxMs: 30_000 };

/**
 * Creates a serial queue. A key added during its own work is worked on once more afterwards, so the last state is
 * always seen. Disposing waits for the work in hand.
 */
export function createWorkQueue(options: WorkQueueOptions): WorkQueue {
  const { work, onError, clock } = options;
  const waiting = new Set<string>();
  const timers = new Map<string, { readonly timer: ClockTimer; readonly dueMs: number }>();
  const failures = new Map<string, Pauses>();
  let running: Promise<void> | undefined;
  let closed = false;

  const dropTimer = (key: string): void => {
    timers.get(key)?.timer.cancel();
    timers.delete(key);
  };

  const runOne = async (key: string): Promise<void> => {
    try {
      await work(key);
      failures.delete(key);
    } catch (error) {
      const pauses = failures.get(key) ?? createPauses(options);
      failures.set(key, pauses);
      const retryMs = pauses.nextMs();
      onError(key, error, retryMs);
      addAfter(key, retryMs);
    }
  };

  const runAll = async (): Promise<void> => {
    // Handlers add several keys in one turn; let them all arrive before the first is worked on.
    await Promise.resolve();
    for (const key of waiting) {
      waiting.delete(key);
      if (closed) break;
      await runOne(key);
    }
    running = undefined;
    if (waiting.size > 0 && !closed) running = runAll();
  };

  const add = (key: string): void => {
    if (closed) return;
    dropTimer(key);
    waiting.add(key);
    running ??= runAll();
  };

  const addAfter = (key: string, delayMs: number): void => {
    if (closed || waiting.has(key)) return;
    const dueMs = clock.monotonicMs() + delayMs;
    const planned = timers.get(key);
    if (planned !== undefined && planned.dueMs <= dueMs) return;
    dropTimer(key);
    timers.set(key, { dueMs, timer: clock.setTimer(() => add(key), delayMs) });
  };

  const idle = async (): Promise<void> => {
    while (running !== undefined) await running;
  };

  return {
    add,
    addAfter,
    idle,
    async [Symbol.asyncDispose]() {
      closed = true;
      waiting.clear();
      for (const key of timers.keys()) dropTimer(key);
      await idle();
    },
  };
}

/** The pauses of one key that fails again and again. */
interface Pauses {
  nextMs(): number;
}

function createPauses({ backoff = DEFAULT_BACKOFF, pauseMs, random }: WorkQueueOptions): Pauses {
  if (pauseMs === undefined) return createBackoff({ ...backoff, random });
  let failureCount = 0;
  return {
    nextMs() {
      failureCount += 1;
      return pauseMs(failureCount);
    },
  };
}
