/**
 * Remembers what was built from which inputs.
 *
 * A build function gets one flat input object, and its result is used again exactly while every member is the same: by
 * identity, members of arrays one by one. Nothing else can be read, so nothing can be stale.
 */
export interface TranslationMemo {
  /**
   * @param build A top-level function; its identity is part of the key.
   * @param name Tells apart results of one function; several inputs may live under one name (one per kind of proxy).
   */
  resolve<Input extends object, Output>(build: (input: Input) => Output, name: string, input: Input): Output;
  /** Forgets what was not used since the sweep before the last one. */
  sweep(): void;
}

interface Entry {
  readonly input: object;
  readonly output: unknown;
  lastUsed: number;
}

/** Sweeps that an unused entry survives: a proxy that lags one push behind must not have everything built anew. */
const SWEEPS_KEPT = 2;

/** Creates an empty memo. It holds state, but results never depend on it. */
export function createTranslationMemo(): TranslationMemo {
  const builds = new Map<unknown, Map<string, Entry[]>>();
  let generation = 0;
  return {
    resolve<Input extends object, Output>(build: (input: Input) => Output, name: string, input: Input): Output {
      let byName = builds.get(build);
      if (byName === undefined) builds.set(build, (byName = new Map()));
      let entries = byName.get(name);
      if (entries === undefined) byName.set(name, (entries = []));
      for (const entry of entries) {
        if (!hasSameMembers(entry.input, input)) continue;
        entry.lastUsed = generation;
        // Entries under one build function hold that function's outputs.
        return entry.output as Output;
      }
      const output = build(input);
      entries.push({ input, output, lastUsed: generation });
      return output;
    },
    sweep() {
      generation++;
      for (const byName of builds.values()) {
        for (const [name, entries] of byName) {
          const kept = entries.filter((entry) => generation - entry.lastUsed <= SWEEPS_KEPT);
          if (kept.length === 0) byName.delete(name);
          else if (kept.length < entries.length) byName.set(name, kept);
        }
      }
    },
  };
}

function hasSameMembers(left: object, right: object): boolean {
  const rightMembers = right as Readonly<Record<string, unknown>>;
  const keys = Object.keys(left);
  if (keys.length !== Object.keys(right).length) return false;
  return keys.every((key) => isSame((left as Readonly<Record<string, unknown>>)[key], rightMembers[key]));
}

function isSame(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (!Array.isArray(left) || !Array.isArray(right) || left.length !== right.length) return false;
  return left.every((member, index) => member === right[index]);
}
