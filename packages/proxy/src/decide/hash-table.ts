import { xxHash64 } from './xx-hash.ts';

/** One that requests are spread over. */
export interface HashTarget {
  /** What is hashed; its place does not depend on the other targets. */
  readonly key: string;
  /** Its share; all of a table add up to 1. */
  readonly share: number;
}

/** Leads from a hash to a target, mostly to the same one when targets come and go. */
export interface HashTable {
  /**
   * @param attempt 0 for the first choice; counts up when that one was tried already.
   * @returns Index of the target.
   */
  lookup(hash: bigint, attempt: number): number;
}

/**
 * Ketama's ring: each target has entries in proportion to its share, and takes the hashes up to each of them.
 *
 * @param minimumSize The target of least share has as many entries as this asks for.
 * @see Envoy, source/extensions/load_balancing_policies/ring_hash
 */
export function buildHashRing(targets: readonly HashTarget[], minimumSize: number, maximumSize: number): HashTable {
  const leastShare = targets.reduce((least, { share }) => Math.min(least, share), 1);
  const scale = Math.min(Math.ceil(leastShare * minimumSize) / leastShare, maximumSize);
  const entries: { readonly hash: bigint; readonly index: number }[] = [];
  let wanted = 0;
  for (const [index, { key, share }] of targets.entries()) {
    wanted += scale * share;
    for (let serial = 0; entries.length < wanted; serial++) entries.push({ hash: xxHash64(`${key}_${serial}`), index });
  }
  entries.sort((left, right) => (left.hash < right.hash ? -1 : left.hash > right.hash ? 1 : 0));
  const hashes = BigUint64Array.from(entries, ({ hash }) => hash);
  const owners = Uint32Array.from(entries, ({ index }) => index);
  return {
    lookup(hash, attempt) {
      let low = 0;
      let high = hashes.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if ((hashes[middle] as bigint) < hash) low = middle + 1;
        else high = middle;
      }
      return owners[(low + attempt) % owners.length] as number;
    },
  };
}

const FREE = 0xffff_ffff;

/**
 * Maglev's table: each target takes slots in an order of its own, in turns by share, until all are taken.
 *
 * @param size A prime.
 * @see Envoy, source/extensions/load_balancing_policies/maglev
 */
export function buildMaglevTable(targets: readonly HashTarget[], size: number): HashTable {
  const slots = new Uint32Array(size).fill(FREE);
  const modulus = BigInt(size);
  const most = targets.reduce((share, target) => Math.max(share, target.share), 0);
  const takers = targets
    .map(({ key, share }, index) => ({
      index,
      key,
      share,
      next: Number(xxHash64(key) % modulus),
      skip: Number(xxHash64(key, 1n) % (modulus - 1n)) + 1,
      due: 0,
    }))
    // The order of discovery must not matter.
    .sort((left, right) => (left.key < right.key ? -1 : left.key > right.key ? 1 : 0));
  let taken = 0;
  for (let round = 1; taken < size; round++) {
    for (const taker of takers) {
      if (taken === size) break;
      if (round * taker.share < taker.due) continue;
      taker.due += most;
      while (slots[taker.next] !== FREE) taker.next = (taker.next + taker.skip) % size;
      slots[taker.next] = taker.index;
      taken += 1;
    }
  }
  return {
    lookup(hash, attempt) {
      const retried = attempt === 0 ? hash : BigInt.asUintN(64, hash ^ -BigInt(attempt));
      return slots[Number(retried % modulus)] as number;
    },
  };
}
