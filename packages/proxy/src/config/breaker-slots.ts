/** Cells of one cluster: connections, pending requests, requests and retries, for the default and the high priority. */
export const BREAKER_CELLS_PER_SLOT = 8;

/** Rows of the shared breaker cells, handed out by the main thread. */
export interface BreakerSlots {
  /** `Int32Array` rows of {@link BREAKER_CELLS_PER_SLOT}; goes to every worker. */
  readonly cells: SharedArrayBuffer;
  /** The row of a cluster; the same one for the same name until it is released. */
  slotOf(clusterName: string): number;
  /** Frees a removed cluster's row. Rows are reused last, so that requests still in flight count where they began. */
  release(clusterName: string): void;
}

/**
 * Makes the cells that circuit breakers of all workers count in.
 *
 * @param maxClusters Upper bound of clusters at a time, default 16,384 (512 KiB of address space, touched on use).
 */
export function createBreakerSlots(maxClusters = 16_384): BreakerSlots {
  const slots = new Map<string, number>();
  const released: number[] = [];
  let next = 0;
  return {
    cells: new SharedArrayBuffer(maxClusters * BREAKER_CELLS_PER_SLOT * Int32Array.BYTES_PER_ELEMENT),
    slotOf(clusterName) {
      const known = slots.get(clusterName);
      if (known !== undefined) return known;
      const slot = next < maxClusters ? next++ : released.shift();
      if (slot === undefined) throw new RangeError(`BUG: more than ${maxClusters} clusters share the breaker cells`);
      slots.set(clusterName, slot);
      return slot;
    },
    release(clusterName) {
      const slot = slots.get(clusterName);
      if (slot === undefined) return;
      slots.delete(clusterName);
      released.push(slot);
    },
  };
}
