import type { RuntimeStatsMatcher, StatDefinition } from '../config/runtime-config.ts';
import { compileStringMatcher } from '../decide/string-match.ts';

/** Cells a page has; a page is shared with the main thread as it fills. */
export const CELLS_PER_PAGE = 4096;

/** Envoy's bounds, milliseconds or bytes. */
export const DEFAULT_HISTOGRAM_BOUNDS: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
  3_600_000,
];

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
  readonly histogramBounds: readonly number[] | undefined;
  readonly listener: StatsListener;
}

function compileMatcher(matcher: RuntimeStatsMatcher | undefined): (name: string) => boolean {
  if (matcher === undefined) return () => true;
  if (matcher.kind === 'reject_all') return () => false;
  const tests = matcher.patterns.map(compileStringMatcher);
  const includes = matcher.kind === 'inclusion';
  return (name) => tests.some((test) => test(name)) === includes;
}

/**
 * The stats of one worker: cells in shared pages that this worker writes and the main thread reads.
 *
 * Names are looked up once, when the owner of a stat is made; counting is one addition in a typed array. A stat that
 * `stats_matcher` refuses is never created: its owner counts in a page that nobody sees.
 */
export class StatsStore {
  readonly #accepts: (name: string) => boolean;
  readonly #bounds: readonly number[];
  readonly #listener: StatsListener;
  readonly #counters = new Map<string, Counter>();
  readonly #gauges = new Map<string, Gauge>();
  readonly #histograms = new Map<string, Histogram>();
  readonly #unseen = new Float64Array(2 + 64);
  #page = -1;
  #cells: Float64Array = new Float64Array(0);
  #used = CELLS_PER_PAGE;
  #fresh: StatDefinition[] = [];

  constructor({ matcher, histogramBounds, listener }: StatsStoreOptions) {
    this.#accepts = compileMatcher(matcher);
    this.#bounds = (histogramBounds ?? DEFAULT_HISTOGRAM_BOUNDS).slice(0, 63);
    this.#listener = listener;
  }

  counter(name: string, labels?: Readonly<Record<string, string>>): Counter {
    const key = keyOf(name, labels);
    const known = this.#counters.get(key);
    if (known !== undefined) return known;
    const { cells, index } = this.#allocate(name, 'counter', labels, 1);
    const counter = new Counter(cells, index);
    this.#counters.set(key, counter);
    return counter;
  }

  gauge(name: string, labels?: Readonly<Record<string, string>>): Gauge {
    const key = keyOf(name, labels);
    const known = this.#gauges.get(key);
    if (known !== undefined) return known;
    const { cells, index } = this.#allocate(name, 'gauge', labels, 1);
    const gauge = new Gauge(cells, index);
    this.#gauges.set(key, gauge);
    return gauge;
  }

  histogram(name: string, labels?: Readonly<Record<string, string>>): Histogram {
    const key = keyOf(name, labels);
    const known = this.#histograms.get(key);
    if (known !== undefined) return known;
    const { cells, index } = this.#allocate(name, 'histogram', labels, 3 + this.#bounds.length);
    const histogram = new Histogram(cells, index, this.#bounds);
    this.#histograms.set(key, histogram);
    return histogram;
  }

  #allocate(
    name: string,
    kind: StatDefinition['kind'],
    labels: Readonly<Record<string, string>> | undefined,
    cellCount: number,
  ): { cells: Float64Array; index: number } {
    if (!this.#accepts(name)) return { cells: this.#unseen, index: 0 };
    if (this.#used + cellCount > CELLS_PER_PAGE) this.#addPage();
    const index = this.#used;
    this.#used += cellCount;
    if (this.#fresh.length === 0) queueMicrotask(() => this.#announce());
    this.#fresh.push({
      name,
      kind,
      labels,
      page: this.#page,
      index,
      bounds: kind === 'histogram' ? this.#bounds : undefined,
    });
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

/** A part of a dotted stat name, in which `:` cannot stand. */
export function statNamePart(text: string): string {
  return text.replaceAll(':', '_');
}
