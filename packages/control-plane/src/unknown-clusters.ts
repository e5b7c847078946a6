import type { Clock, Log } from '@meltemi/base';

/** Anybody can send a name, so only few are kept, and none for long. */
const MAX_CLUSTERS = 16;
const KEEP_MS = 10 * 60_000;
/** A cluster's name is a key of a Secret; longer ones cannot be meant. */
const NAME = /^[-._a-zA-Z0-9]{1,253}$/;

/**
 * Remembers which clusters callers named in vain: the usual sign of a remote secret whose key is not the name that the
 * sidecars of that cluster were injected with.
 */
export class UnknownClusters {
  readonly #clock: Clock;
  readonly #log: Log;
  /** By id, the one seen longest ago first. */
  readonly #lastSeenMs = new Map<string, number>();

  constructor({ clock, log }: { readonly clock: Clock; readonly log: Log }) {
    this.#clock = clock;
    this.#log = log;
  }

  /** @param known Clusters that it could have been. */
  note(id: string, known: readonly string[]): void {
    if (!NAME.test(id)) return;
    const isNew = !this.#recent(id);
    if (isNew)
      this.#log.warn(
        'Workloads say that they are of a cluster that is not known, and are turned away; the key of its remote secret must be this name',
        { cluster: id, known },
      );
    this.#lastSeenMs.delete(id);
    this.#lastSeenMs.set(id, this.#clock.monotonicMs());
    if (this.#lastSeenMs.size <= MAX_CLUSTERS) return;
    const [oldest] = this.#lastSeenMs.keys();
    if (oldest !== undefined) this.#lastSeenMs.delete(oldest);
  }

  /** Those of the last ten minutes that are not known meanwhile, by id. */
  list(known: readonly string[]): readonly string[] {
    return [...this.#lastSeenMs.keys()].filter((id) => this.#recent(id) && !known.includes(id)).toSorted();
  }

  #recent(id: string): boolean {
    const seenMs = this.#lastSeenMs.get(id);
    return seenMs !== undefined && this.#clock.monotonicMs() - seenMs < KEEP_MS;
  }
}
