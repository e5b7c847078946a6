/** Letters to insert, remove, replace or swap with their neighbour; optimal string alignment. */
function editDistance(left: string, right: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row++) {
    const current = [row];
    for (let column = 1; column <= right.length; column++) {
      const substitution = (previous[column - 1] as number) + (left[row - 1] === right[column - 1] ? 0 : 1);
      const isSwap =
        row > 1 && column > 1 && left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1];
      const swap = isSwap ? (beforePrevious[column - 2] as number) + 1 : Number.POSITIVE_INFINITY;
      current.push(Math.min(substitution, swap, (previous[column] as number) + 1, (current[column - 1] as number) + 1));
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[right.length] as number;
}

/**
 * The known name that a mistyped one most likely meant.
 *
 * @returns `undefined` when nothing is near: more than a third of the letters would have to change; of short names more
 *   than two letters, and never so many that fewer than two are right.
 */
export function nearestName(typed: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.min(Math.max(2, Math.floor(typed.length / 3)), Math.max(1, typed.length - 2)) + 1;
  const wanted = typed.toLowerCase();
  for (const name of known) {
    // Each letter that one has more is a change: what is too far anyway need not be compared, which costs both lengths.
    if (Math.abs(typed.length - name.length) >= bestDistance) continue;
    const distance = editDistance(wanted, name.toLowerCase());
    if (distance < bestDistance) {
      best = name;
      bestDistance = distance;
    }
  }
  return best;
}
