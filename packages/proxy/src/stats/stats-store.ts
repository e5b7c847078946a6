import type { RuntimeHistogramSettings, RuntimeStatsMatcher, StatDefinition } from '../config/runtime-config.ts';
import { flatStatName } from './stat-name.ts';
import { compileHistogramBounds, compileStatsMatcher, MAX_HISTOGRAM_BOUNDS } from './stats-matcher.ts';

/** Cells a page has; a page is shared with the main thread as it fills. */
export const CELLS_PER_PAGE = 4096;

/** Counts up. One writer: the worker that made it. */
export class Counter {
  readonly #cells: Float64Array;
  readonly #index: number;

  constructor(cells: Float64Array, index: number) {
    this.#cells = cells;
    this.#index = index;
  }

  inc(by = 1): void {
    this.#cells[this.#index] = (this.#cells[this.#index] as number) + by;
  }

  get value(): number {
    return this.#cells[this.#index] as number;
  }
}

/** Goes up and down; the main thread adds up the workers'. */
export class Gauge {
  readonly #cells: Float64Array;
  readonly #index: number;

  constructor(cells: Float64Array, index: number) {
    this.#cells = cells;
    this.#index = index;
  }

  add(by: number): void {
    this.#cells[this.#index] = (this.#cells[this.#index] as number) + by;
  }

  set(value: number): void {
    this.#cells[this.#index] = value;
  }

  get value(): number {
    return this.#cells[this.#index] as number;
  }
}

/** Sum, count and buckets of a distribution. */
export class Histogram {
  readonly #cells: Float64Array;
  readonly #index: number;
  readonly #bounds: readonly number[];

  constructor(cells: Float64Array, index: number, bounds: readonly number[]) {
    this.#cells = cells;
    this.#index = index;
    this.#bounds = bounds;
  }

  record(value: number): void {
    const cells = this.#cells;
    const first = this.#index;
    let bucket = 0;
    while (bucket < this.#bounds.length && value > (this.#bounds[bucket] as number)) bucket += 1;
    cells[first] = (cells[first] as number) + value;
    cells[first + 1] = (cells[first + 1] as number) + 1;
    cells[first + 2 + bucket] = (cells[first + 2 + bucket] as number) + 1;
  }
}

/** Where new pages and definitions are announced. */
export interface StatsListener {
  onPage(page: number, cells: SharedArrayBuffer): void;
  /** Called once per turn at most. */
  onDefinitions(definitions: readonly StatDefinition[]): void;
}

/** How a {@link StatsStore} names, buckets and announces. */
export interface StatsStoreOptions {
  readonly matcher: RuntimeStatsMatcher | undefined;
  readonly histogramSettings: readonly RuntimeHistogramSettings[];
  readonly listener: StatsListener;
}

/**
 * The stats of one worker: cells in shared pages that this worker writes and the main thread reads.
 *
 * Names are looked up once, when the owner of a stat is made; counting is one addition in a typed array. A stat that
 * `stats_matcher` refuses is never created: its owner counts in a page that nobody sees.
 */
export class StatsStore {
  readonly #accepts: (name: string) => boolean;
  readonly #boundsOf: (name: string) => readonly number[];
  readonly #listener: StatsListener;
  readonly #counters = new Map<string, Counter>();
  readonly #gauges = new Map<string, Gauge>();
  readonly #histograms = new Map<string, Histogram>();
  readonly #unseen = new Float64Array(3 + MAX_HISTOGRAM_BOUNDS);
  #page = -1;
  #cells: Float64Array = new Float64Array(0);
  #used = CELLS_PER_PAGE;
  #fresh: StatDefinition[] = [];

  constructor({ matcher, histogramSettings, listener }: StatsStoreOptions) {
    this.#accepts = compileStatsMatcher(matcher);
    this.#boundsOf = compileHistogramBounds(histogramSettings);
    this.#listener = listener;
  }

  counter(name: string, labels?: Readonly<Record<string, string>>): Counter {
    const key = keyOf(name, labels);
    const known = this.#counters.get(key);
    if (known !== undefined) return known;
    const { cells, index } = this.#allocate(name, 'counter', labels);
    const counter = new Counter(cells, index);
    this.#counters.set(key, counter);
    return counter;
  }

  gauge(name: string, labels?: Readonly<Record<string, string>>): Gauge {
    const key = keyOf(name, labels);
    const known = this.#gauges.get(key);
    if (known !== undefined) return known;
    const { cells, index } = this.#allocate(name, 'gauge', labels);
    const gauge = new Gauge(cells, index);
    this.#gauges.set(key, gauge);
    return gauge;
  }

  histogram(name: string, labels?: Readonly<Record<string, string>>): Histogram {
    const key = keyOf(name, labels);
    const known = this.#histograms.get(key);
    if (known !== undefined) return known;
    const bounds = this.#boundsOf(flatStatName(name, labels));
    const { cells, index } = this.#allocate(name, 'histogram', labels, bounds);
    const histogram = new Histogram(cells, index, bounds);
    this.#histograms.set(key, histogram);
    return histogram;
  }

  #allocate(
    name: string,
    kind: StatDefinition['kind'],
    labels: Readonly<Record<string, string>> | undefined,
    bounds?: readonly number[],
  ): { cells: Float64Array; index: number } {
    if (!this.#accepts(flatStatName(name, labels))) return { cells: this.#unseen, index: 0 };
    const cellCount = bounds === undefined ? 1 : 3 + bounds.length;
    if (this.#used + cellCount > CELLS_PER_PAGE) this.#addPage();
    const index = this.#used;
    this.#used += cellCount;
    if (this.#fresh.length === 0) queueMicrotask(() => this.#announce());
    this.#fresh.push({ name, kind, labels, page: this.#page, index, bounds });
    return { cells: this.#cells, index };
  }

  #addPage(): void {
    const buffer = new SharedArrayBuffer(CELLS_PER_PAGE * Float64Array.BYTES_PER_ELEMENT);
    this.#page += 1;
    this.#cells = new Float64Array(buffer);
    this.#used = 0;
    this.#listener.onPage(this.#page, buffer);
  }

  #announce(): void {
    const definitions = this.#fresh;
    this.#fresh = [];
    this.#listener.onDefinitions(definitions);
  }
}

function keyOf(name: string, labels: Readonly<Record<string, string>> | undefined): string {
  return labels === undefined ? name : `${name}\0${JSON.stringify(labels)}`;
}
