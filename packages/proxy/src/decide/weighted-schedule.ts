interface Entry<Item> {
  readonly item: Item;
  deadline: number;
  order: number;
}

/**
 * Hands out items in proportion to their weights by earliest deadline first: an item's next turn comes 1/weight later.
 *
 * Ties go to whoever has waited longest. All weights are positive.
 */
export class WeightedSchedule<Item> {
  readonly #heap: Entry<Item>[] = [];
  readonly #weightOf: (item: Item) => number;
  #time = 0;
  #order = 0;

  constructor(items: Iterable<Item>, weightOf: (item: Item) => number) {
    this.#weightOf = weightOf;
    for (const item of items) this.#push({ item, deadline: 1 / weightOf(item), order: this.#order++ });
  }

  /** The item whose turn it is; it is scheduled again with its weight of now. Undefined when there are none. */
  next(): Item | undefined {
    const entry = this.#heap[0];
    if (entry === undefined) return undefined;
    this.#time = entry.deadline;
    entry.deadline = this.#time + 1 / this.#weightOf(entry.item);
    entry.order = this.#order++;
    this.#siftDown();
    return entry.item;
  }

  /** Skips turns, so that the workers of a proxy do not all begin with the same host. */
  advance(turns: number): void {
    for (let turn = 0; turn < turns; turn++) this.next();
  }

  #isBefore(left: Entry<Item>, right: Entry<Item>): boolean {
    return left.deadline < right.deadline || (left.deadline === right.deadline && left.order < right.order);
  }

  #push(entry: Entry<Item>): void {
    const heap = this.#heap;
    heap.push(entry);
    for (let at = heap.length - 1; at > 0; ) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(heap[at] as Entry<Item>, heap[parent] as Entry<Item>)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #siftDown(): void {
    const heap = this.#heap;
    for (let at = 0; ; ) {
      const left = at * 2 + 1;
      const right = left + 1;
      let least = at;
      if (left < heap.length && this.#isBefore(heap[left] as Entry<Item>, heap[least] as Entry<Item>)) least = left;
      if (right < heap.length && this.#isBefore(heap[right] as Entry<Item>, heap[least] as Entry<Item>)) least = right;
      if (least === at) return;
      this.#swap(at, least);
      at = least;
    }
  }

  #swap(left: number, right: number): void {
    const heap = this.#heap;
    const entry = heap[left] as Entry<Item>;
    heap[left] = heap[right] as Entry<Item>;
    heap[right] = entry;
  }
}
