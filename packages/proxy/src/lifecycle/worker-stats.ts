import { stableJson } from '@meltemi/base';
import type { StatDefinition } from '../config/messages.ts';

/** One stat, summed over the workers. */
export interface MergedStat {
  readonly name: string;
  readonly kind: 'counter' | 'gauge' | 'histogram';
  /** Present on metrics with labels of their own (Istio's). */
  readonly labels: Readonly<Record<string, string>> | undefined;
  /** Counter and gauge. */
  readonly value: number;
  readonly histogram: MergedHistogram | undefined;
}

/** A histogram's cells. */
export interface MergedHistogram {
  readonly sum: number;
  readonly count: number;
  readonly bounds: readonly number[];
  /** One per bound and one for what is above the last; not cumulative. */
  readonly bucketCounts: readonly number[];
}

/** The stat cells of all workers, read where the workers write them. */
export interface WorkerStats {
  addPage(workerIndex: number, page: number, cells: SharedArrayBuffer): void;
  addDefinitions(workerIndex: number, definitions: readonly StatDefinition[]): void;
  /** Sums the workers' cells as they are at this moment, sorted by name. */
  merge(): MergedStat[];
  /** Sets counters and histograms to 0 from the reader's point of view; the cells are the workers' alone. */
  resetCounters(): void;
  /**
   * Hides metrics with labels of their own that have not changed since the last call; one that changes later begins at 0.
   * Their cells stay: they are the workers' alone.
   */
  evictUnused(): void;
}

interface Accumulator {
  readonly definition: StatDefinition;
  readonly cells: number[];
}

/** Gauges of what all workers have in common: a sum over the workers would count each host once per worker. */
function isSharedGauge({ name, kind }: StatDefinition): boolean {
  return kind === 'gauge' && /\.(membership_\w+|outlier_detection\.ejections_active|rds\.\w+)$/.test(name);
}

const isEvictable = ({ labels, kind }: StatDefinition): boolean => labels !== undefined && kind !== 'gauge';

const isSame = (cells: readonly number[], others: readonly number[] | undefined): boolean =>
  others !== undefined && cells.every((cell, index) => cell === others[index]);

/** Creates the reader's side of the workers' stats. */
export function createWorkerStats(): WorkerStats {
  const pages = new Map<string, Float64Array>();
  const definitions = new Map<number, StatDefinition[]>();
  /** What the counters stood at when they were reset, by stat. */
  let baseline = new Map<string, readonly number[]>();
  /** What evictable stats stood at when the last eviction looked. */
  const lastSeen = new Map<string, readonly number[]>();
  const evicted = new Set<string>();

  const keyOf = ({ name, kind, labels }: StatDefinition): string =>
    labels === undefined ? `${kind} ${name}` : `${kind} ${name} ${stableJson(labels)}`;

  const sum = (): Map<string, Accumulator> => {
    const sums = new Map<string, Accumulator>();
    for (const [workerIndex, ofWorker] of definitions) {
      for (const definition of ofWorker) {
        const page = pages.get(`${workerIndex}/${definition.page}`);
        if (page === undefined) continue;
        const length = definition.kind === 'histogram' ? (definition.bounds?.length ?? 0) + 3 : 1;
        const key = keyOf(definition);
        let accumulator = sums.get(key);
        if (accumulator === undefined) {
          accumulator = { definition, cells: Array.from({ length }, () => 0) };
          sums.set(key, accumulator);
        }
        for (let offset = 0; offset < length; offset += 1) {
          const cell = page[definition.index + offset] ?? 0;
          const sum = accumulator.cells[offset] ?? 0;
          accumulator.cells[offset] = isSharedGauge(definition) ? Math.max(sum, cell) : sum + cell;
        }
      }
    }
    return sums;
  };

  /** A stat that counts again is back. */
  const isEvicted = (key: string, { cells }: Accumulator): boolean => {
    if (!evicted.has(key)) return false;
    if (isSame(cells, lastSeen.get(key))) return true;
    evicted.delete(key);
    return false;
  };

  const toStat = (key: string, { definition, cells }: Accumulator): MergedStat => {
    const base = definition.kind === 'gauge' ? undefined : baseline.get(key);
    const values = base === undefined ? cells : cells.map((value, index) => value - (base[index] ?? 0));
    const { name, kind, labels, bounds = [] } = definition;
    if (kind !== 'histogram') return { name, kind, labels, value: values[0] ?? 0, histogram: undefined };
    const histogram = { sum: values[0] ?? 0, count: values[1] ?? 0, bounds, bucketCounts: values.slice(2) };
    return { name, kind, labels, value: 0, histogram };
  };

  return {
    addPage(workerIndex, page, cells) {
      pages.set(`${workerIndex}/${page}`, new Float64Array(cells));
    },
    addDefinitions(workerIndex, added) {
      const known = definitions.get(workerIndex);
      if (known === undefined) definitions.set(workerIndex, [...added]);
      else known.push(...added);
    },
    merge() {
      return [...sum()]
        .filter(([key, accumulator]) => !isEvicted(key, accumulator))
        .map(([key, accumulator]) => toStat(key, accumulator))
        .sort((left, right) => (left.name < right.name ? -1 : left.name > right.name ? 1 : 0));
    },
    resetCounters() {
      baseline = new Map([...sum()].map(([key, { cells }]) => [key, cells]));
    },
    evictUnused() {
      for (const [key, { definition, cells }] of sum()) {
        if (!isEvictable(definition)) continue;
        if (isSame(cells, lastSeen.get(key))) {
          evicted.add(key);
          baseline.set(key, cells);
        } else {
          evicted.delete(key);
          lastSeen.set(key, cells);
        }
      }
    },
  };
}
