/**
 * Header fields in the order received, names in lower case.
 *
 * Two flat arrays, because a request has 10 to 20 fields and a linear scan over interned names beats hashing there. Repeated
 * fields stay apart until {@link HeaderMap.joined} is asked. Pseudo headers are not in here.
 */
export class HeaderMap {
  readonly names: string[] = [];
  readonly values: string[] = [];

  /** Number of fields. */
  get size(): number {
    return this.names.length;
  }

  /** First value of `name`. */
  get(name: string): string | undefined {
    const at = this.names.indexOf(name);
    return at === -1 ? undefined : this.values[at];
  }

  has(name: string): boolean {
    return this.names.indexOf(name) !== -1;
  }

  /** All values of `name`, joined by `,` as matchers and loggers see repeated fields. */
  joined(name: string): string | undefined {
    const first = this.names.indexOf(name);
    if (first === -1) return undefined;
    let text = this.values[first] as string;
    for (let at = this.names.indexOf(name, first + 1); at !== -1; at = this.names.indexOf(name, at + 1)) {
      text += `,${this.values[at]}`;
    }
    return text;
  }

  /** Every value of `name`, in the order received. */
  all(name: string): readonly string[] {
    return this.values.filter((_value, at) => this.names[at] === name);
  }

  /** Adds a field at the end, whether or not there is one of that name. */
  add(name: string, value: string): void {
    this.names.push(name);
    this.values.push(value);
  }

  /** Makes `value` the only value of `name`. */
  set(name: string, value: string): void {
    const at = this.names.indexOf(name);
    if (at === -1) {
      this.add(name, value);
      return;
    }
    this.values[at] = value;
    if (this.names.indexOf(name, at + 1) !== -1) this.#removeFrom(name, at + 1);
  }

  /** Removes every field of that name. */
  remove(name: string): void {
    const at = this.names.indexOf(name);
    if (at !== -1) this.#removeFrom(name, at);
  }

  /** A copy that can be changed apart. */
  clone(): HeaderMap {
    const copy = new HeaderMap();
    for (let at = 0; at < this.names.length; at++) copy.add(this.names[at] as string, this.values[at] as string);
    return copy;
  }

  #removeFrom(name: string, start: number): void {
    const { names, values } = this;
    let kept = start;
    for (let at = start; at < names.length; at++) {
      if (names[at] === name) continue;
      names[kept] = names[at] as string;
      values[kept] = values[at] as string;
      kept += 1;
    }
    names.length = kept;
    values.length = kept;
  }
}

/** Builds a map from pairs, for replies made here and for tests. */
export function headerMapOf(fields: Iterable<readonly [string, string]>): HeaderMap {
  const headers = new HeaderMap();
  for (const [name, value] of fields) headers.add(name, value);
  return headers;
}
