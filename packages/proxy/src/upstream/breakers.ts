import { BREAKER_CELLS_PER_SLOT, type RuntimeThresholds } from '../config/runtime-config.ts';

/** What is limited. */
export const BreakerKind = { connections: 0, pending: 1, requests: 2, retries: 3 } as const;
export type BreakerKind = (typeof BreakerKind)[keyof typeof BreakerKind];

/** The circuit breakers of one cluster and priority, counted across all workers in shared cells. */
export class Breakers {
  readonly #cells: Int32Array;
  readonly #base: number;
  readonly #limits: readonly number[];
  readonly #retryBudget: RuntimeThresholds['retryBudget'];

  constructor(cells: Int32Array, slot: number, priority: 'default' | 'high', thresholds: RuntimeThresholds) {
    this.#cells = cells;
    this.#base = slot * BREAKER_CELLS_PER_SLOT + (priority === 'high' ? 4 : 0);
    const { maxConnections, maxPendingRequests, maxRequests, maxRetries } = thresholds;
    this.#limits = [maxConnections, maxPendingRequests, maxRequests, maxRetries];
    this.#retryBudget = thresholds.retryBudget;
  }

  /** Takes one, unless the limit is reached. Two workers at the same instant may overshoot by nothing: the add decides. */
  tryTake(kind: BreakerKind): boolean {
    const index = this.#base + kind;
    if (Atomics.add(this.#cells, index, 1) < this.#limitOf(kind)) return true;
    Atomics.sub(this.#cells, index, 1);
    return false;
  }

  /** Takes one whatever the limit, for a host that could otherwise never be reached. */
  take(kind: BreakerKind): void {
    Atomics.add(this.#cells, this.#base + kind, 1);
  }

  release(kind: BreakerKind): void {
    Atomics.sub(this.#cells, this.#base + kind, 1);
  }

  /** How many are taken now, by all workers. */
  taken(kind: BreakerKind): number {
    return Atomics.load(this.#cells, this.#base + kind);
  }

  #limitOf(kind: BreakerKind): number {
    if (kind !== BreakerKind.retries || this.#retryBudget === undefined) return this.#limits[kind] as number;
    const load = this.taken(BreakerKind.requests) + this.taken(BreakerKind.pending);
    return Math.max((load * this.#retryBudget.percent) / 100, this.#retryBudget.minRetryConcurrency);
  }
}
