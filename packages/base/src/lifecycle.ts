import { messageOf } from './pure/errors.ts';

/** The first signal that asks the process to end. A second one ends it at once. */
export function untilSignal(signals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM']): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let asked = false;
    for (const signal of signals) {
      process.on(signal, () => {
        if (asked) process.exit(1);
        asked = true;
        resolve(signal);
      });
    }
  });
}

/** Disposes in the reverse of the order given, goes on after a failure, and reports every failure. */
export async function disposeAll(parts: readonly AsyncDisposable[], onError: (message: string) => void): Promise<void> {
  for (const part of parts.toReversed()) {
    try {
      await part[Symbol.asyncDispose]();
    } catch (error) {
      onError(`Cannot stop cleanly: ${messageOf(error)}`);
    }
  }
}

/**
 * Owns promises that nobody awaits, so that none fails unseen.
 *
 * @param onError Called with the task's name and what it threw.
 */
export function createTaskOwner(onError: (name: string, error: unknown) => void): {
  run(name: string, task: Promise<unknown> | (() => Promise<unknown>)): void;
  /** Resolves when every task handed over so far has ended. */
  settled(): Promise<void>;
} {
  const running = new Set<Promise<unknown>>();
  return {
    run(name, task) {
      const promise = (typeof task === 'function' ? task() : task)
        .catch((error: unknown) => onError(name, error))
        .finally(() => running.delete(promise));
      running.add(promise);
    },
    async settled() {
      await Promise.all(running);
    },
  };
}
