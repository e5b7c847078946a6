/**
 * Picks by weight.
 *
 * @param weights Integers >= 0.
 * @param totalWeight Their sum, > 0.
 * @param draw In [0, 1).
 * @returns An index; the last one with weight when rounding leaves nothing else.
 */
export function chooseWeighted(weights: readonly number[], totalWeight: number, draw: number): number {
  let left = Math.floor(draw * totalWeight);
  for (let index = 0; index < weights.length; index++) {
    const weight = weights[index] as number;
    if (left < weight) return index;
    left -= weight;
  }
  return weights.length - 1;
}
