import type { SecretResource } from './secret-resources.ts';

/** What one SDS stream wants and has; the core that state-of-the-world and delta share. */
export class SecretSubscription {
  readonly #wanted = new Set<string>();
  /** Version by name, as last sent on this stream or as the client says it has. */
  readonly #sent = new Map<string, string>();

  get wanted(): ReadonlySet<string> {
    return this.#wanted;
  }

  subscribe(names: Iterable<string>): void {
    for (const name of names) this.#wanted.add(name);
  }

  unsubscribe(names: Iterable<string>): void {
    for (const name of names) {
      this.#wanted.delete(name);
      this.#sent.delete(name);
    }
  }

  /** Makes `names` the whole of what is wanted. */
  replace(names: readonly string[]): void {
    this.unsubscribe([...this.#wanted].filter((name) => !names.includes(name)));
    this.subscribe(names);
  }

  /** Takes over what a reconnecting client says it has. */
  setKnown(versions: Readonly<Record<string, string>>): void {
    for (const [name, version] of Object.entries(versions)) this.#sent.set(name, version);
  }

  /**
   * Takes what has to be sent, and remembers it as sent.
   *
   * A name that does not exist yet is left out without an answer, which keeps a proxy's listener warming until it does.
   */
  take(available: readonly SecretResource[]): {
    readonly changed: readonly SecretResource[];
    readonly all: readonly SecretResource[];
  } {
    const all = available.filter(({ name }) => this.#wanted.has(name));
    const changed = all.filter(({ name, version }) => this.#sent.get(name) !== version);
    for (const { name, version } of changed) this.#sent.set(name, version);
    return { changed, all };
  }
}
