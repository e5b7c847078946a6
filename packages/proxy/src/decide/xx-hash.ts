const PRIME_1 = 0x9e3779b185ebca87n;
const PRIME_2 = 0xc2b2ae3d27d4eb4fn;
const PRIME_3 = 0x165667b19e3779f9n;
const PRIME_4 = 0x85ebca77c2b2ae63n;
const PRIME_5 = 0x27d4eb2f165667c5n;
const STRIPE_BYTES = 32;
const encoder = new TextEncoder();

function wrap(value: bigint): bigint {
  return BigInt.asUintN(64, value);
}

function rotateLeft(value: bigint, bits: bigint): bigint {
  return wrap((value << bits) | (value >> (64n - bits)));
}

function mix(accumulator: bigint, lane: bigint): bigint {
  return wrap(rotateLeft(wrap(accumulator + lane * PRIME_2), 31n) * PRIME_1);
}

function merge(hash: bigint, accumulator: bigint): bigint {
  return wrap((hash ^ mix(0n, accumulator)) * PRIME_1 + PRIME_4);
}

/** All whole stripes of 32 bytes. */
function hashStripes(view: DataView, seed: bigint): bigint {
  let first = wrap(seed + PRIME_1 + PRIME_2);
  let second = wrap(seed + PRIME_2);
  let third = seed;
  let fourth = wrap(seed - PRIME_1);
  for (let at = 0; at + STRIPE_BYTES <= view.byteLength; at += STRIPE_BYTES) {
    first = mix(first, view.getBigUint64(at, true));
    second = mix(second, view.getBigUint64(at + 8, true));
    third = mix(third, view.getBigUint64(at + 16, true));
    fourth = mix(fourth, view.getBigUint64(at + 24, true));
  }
  const sum = rotateLeft(first, 1n) + rotateLeft(second, 7n) + rotateLeft(third, 12n) + rotateLeft(fourth, 18n);
  return [first, second, third, fourth].reduce(merge, wrap(sum));
}

/**
 * The 64-bit xxHash of a text in UTF-8: what Envoy's consistent balancing goes by.
 *
 * @see https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
 */
export function xxHash64(text: string, seed = 0n): bigint {
  const bytes = encoder.encode(text);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { byteLength } = view;
  let hash = byteLength >= STRIPE_BYTES ? hashStripes(view, seed) : wrap(seed + PRIME_5);
  hash = wrap(hash + BigInt(byteLength));
  let at = byteLength - (byteLength % STRIPE_BYTES);
  for (; at + 8 <= byteLength; at += 8) {
    hash = wrap(rotateLeft(hash ^ mix(0n, view.getBigUint64(at, true)), 27n) * PRIME_1 + PRIME_4);
  }
  if (at + 4 <= byteLength) {
    hash = wrap(rotateLeft(hash ^ wrap(BigInt(view.getUint32(at, true)) * PRIME_1), 23n) * PRIME_2 + PRIME_3);
    at += 4;
  }
  for (; at < byteLength; at++) {
    hash = wrap(rotateLeft(hash ^ wrap(BigInt(view.getUint8(at)) * PRIME_5), 11n) * PRIME_1);
  }
  hash = wrap((hash ^ (hash >> 33n)) * PRIME_2);
  hash = wrap((hash ^ (hash >> 29n)) * PRIME_3);
  return hash ^ (hash >> 32n);
}
