/** A timer that was set. */
export interface TimerHandle {
  cancel(): void;
  /** Starts the delay again. */
  restart(): void;
}

/** Timers of the data path; the only way it waits. Tests hand in their own. */
export interface Timers {
  /** Runs `callback` once. The timer does not keep the process alive. */
  set(callback: () => void, delayMs: number): TimerHandle;
  /** Milliseconds from an arbitrary start; never goes back. */
  nowMs(): number;
  /** Unix milliseconds. */
  unixMs(): number;
}

class NodeTimer implements TimerHandle {
  readonly #timeout: NodeJS.Timeout;

  constructor(timeout: NodeJS.Timeout) {
    this.#timeout = timeout;
    timeout.unref();
  }

  cancel(): void {
    clearTimeout(this.#timeout);
  }

  restart(): void {
    this.#timeout.refresh();
  }
}

/** Node's timers: lists by duration, so that the many equal ones of a proxy cost a list insertion each. */
export const nodeTimers: Timers = {
  set: (callback, delayMs) => new NodeTimer(setTimeout(callback, delayMs)),
  nowMs: () => performance.now(),
  unixMs: () => Date.now(),
};

/**
 * Closes what has been quiet for too long.
 *
 * `touch` on the hot path only notes the time; the one timer looks at it when it fires and waits for the rest.
 */
export class IdleTimer {
  readonly #timers: Timers;
  readonly #idleMs: number;
  readonly #onIdle: () => void;
  #lastMs: number;
  #handle: TimerHandle | undefined;

  /** @param idleMs 0 never fires. */
  constructor(timers: Timers, idleMs: number, onIdle: () => void) {
    this.#timers = timers;
    this.#idleMs = idleMs;
    this.#onIdle = onIdle;
    this.#lastMs = idleMs > 0 ? timers.nowMs() : 0;
    if (idleMs > 0) this.#wait(idleMs);
  }

  touch(): void {
    if (this.#idleMs > 0) this.#lastMs = this.#timers.nowMs();
  }

  /** Begins again, after it has fired or been stopped. */
  restart(): void {
    this.stop();
    this.touch();
    if (this.#idleMs > 0) this.#wait(this.#idleMs);
  }

  stop(): void {
    this.#handle?.cancel();
    this.#handle = undefined;
  }

  #wait(delayMs: number): void {
    this.#handle = this.#timers.set(() => {
      const leftMs = this.#lastMs + this.#idleMs - this.#timers.nowMs();
      if (leftMs <= 1) this.#onIdle();
      else this.#wait(leftMs);
    }, delayMs);
  }
}
