import type { Counter, StatsStore } from './stats-store.ts';

/** Counters by response status: `<prefix>_2xx`, and `<prefix>_200` where `perCode` is asked. */
export class StatusCounters {
  readonly #store: StatsStore;
  readonly #prefix: string;
  readonly #perCode: boolean;
  readonly #classes: (Counter | undefined)[] = [];
  readonly #codes: (Counter | undefined)[] = [];

  constructor(store: StatsStore, prefix: string, perCode: boolean) {
    this.#store = store;
    this.#prefix = prefix;
    this.#perCode = perCode;
  }

  count(status: number): void {
    const statusClass = Math.floor(status / 100);
    let counter = this.#classes[statusClass];
    if (counter === undefined) {
      counter = this.#store.counter(`${this.#prefix}_${statusClass}xx`);
      this.#classes[statusClass] = counter;
    }
    counter.inc();
    if (this.#perCode) this.#countCode(status);
  }

  #countCode(status: number): void {
    let counter = this.#codes[status];
    if (counter === undefined) {
      counter = this.#store.counter(`${this.#prefix}_${status}`);
      this.#codes[status] = counter;
    }
    counter.inc();
  }
}
