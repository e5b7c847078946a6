import type { EncodedResource } from '../encoded-resource.ts';

/** Names whose resources may have changed; `all` for every name of the subscription. */
export type DirtyNames = 'all' | ReadonlySet<string>;

/** What a generator answers: the resources that exist among those asked for. */
export interface ResourceView {
  /** Number of the snapshot that they were made from. */
  readonly number: number;
  /** Goes out as `version_info`. */
  readonly versionInfo: string;
  readonly resources: ReadonlyMap<string, EncodedResource>;
}

/** What is to be sent, before an envelope is put around it. */
export interface SubscriptionUpdate {
  readonly resources: readonly EncodedResource[];
  /** Names of which the client got new content, without those repeated only because the protocol repeats everything. */
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

/** How far a client is with one type. */
export type SyncState = 'NOT_SENT' | 'STALE' | 'ERROR' | 'SYNCED';

/** What is known of one type on one stream, for people and tests. */
export interface SubscriptionStatus {
  readonly typeUrl: string;
  readonly state: SyncState;
  readonly wildcard: boolean;
  readonly names: readonly string[];
  readonly nonceSent: string;
  readonly nonceAcked: string;
  readonly versionSent: string;
  readonly versionAcked: string;
  /** Unix milliseconds; 0 when nothing was sent. */
  readonly sentAtMs: number;
  /** The client's words for the last response that it rejected, until it accepts one. */
  readonly lastError: string | undefined;
  /** Number of the newest snapshot whose whole content for this type the client has accepted. */
  readonly ackedNumber: number;
  /** Version by resource name: what the client was last sent. */
  readonly resources: ReadonlyMap<string, string>;
}

interface InFlight {
  readonly nonce: string;
  readonly number: number;
  readonly versionInfo: string;
}

/**
 * One type on one stream: what the client wants, what it has, and what it must still be told.
 *
 * The same for state-of-the-world and delta; the two differ in how requests are read and responses written, and in
 * `repeatsAll`. At most one response is unacknowledged; changes meanwhile are kept as names, never as bytes.
 */
export class Subscription {
  readonly typeUrl: string;
  /** State of the world: a wildcard response must carry every resource. */
  readonly #repeatsAll: boolean;
  #wildcard = false;
  readonly #names = new Set<string>();
  /** Version by name of what the client was last sent, or said that it has. */
  readonly #known = new Map<string, string>();
  /** What a protocol that repeats everything has to repeat of what is gone and not yet to be removed. */
  readonly #content = new Map<string, EncodedResource>();
  /** Gone, and the client still has it: something that it was told before may refer to it. */
  readonly #heldRemovals = new Set<string>();
  #dirty: 'all' | Set<string> = new Set();
  #forced: 'all' | Set<string> = new Set();
  #owesResponse = false;
  #inFlight: InFlight | undefined;
  #nonceSent = '';
  #nonceAcked = '';
  #versionSent = '';
  #versionAcked = '';
  #sentAtMs = 0;
  #lastError: string | undefined;
  #ackedNumber = 0;

  constructor(typeUrl: string, repeatsAll: boolean) {
    this.typeUrl = typeUrl;
    this.#repeatsAll = repeatsAll;
  }

  get isWildcard(): boolean {
    return this.#wildcard;
  }

  get names(): ReadonlySet<string> {
    return this.#names;
  }

  /** How many names the client makes this server remember. */
  get rememberedCount(): number {
    return this.#names.size + this.#known.size;
  }

  get nonceSent(): string {
    return this.#nonceSent;
  }

  /** Number of the newest snapshot whose whole content for this type the client has accepted. */
  get ackedNumber(): number {
    return this.#ackedNumber;
  }

  /** Whether something may have to be sent. */
  get isPending(): boolean {
    return this.#owesResponse || !isEmpty(this.#dirty) || !isEmpty(this.#forced);
  }

  /** Whether removals wait for {@link releaseRemovals}. */
  get holdsRemovals(): boolean {
    return this.#heldRemovals.size > 0;
  }

  /** Whether a response waits for its ACK. */
  get isInFlight(): boolean {
    return this.#inFlight !== undefined;
  }

  /** The client accepts a response. `false` when the nonce is not that of the last one. */
  acknowledge(nonce: string): boolean {
    if (nonce !== this.#nonceSent) return false;
    if (this.#inFlight === undefined) return true;
    this.#nonceAcked = this.#inFlight.nonce;
    this.#versionAcked = this.#inFlight.versionInfo;
    if (!this.holdsRemovals) this.#ackedNumber = this.#inFlight.number;
    this.#inFlight = undefined;
    this.#lastError = undefined;
    return true;
  }

  /** The client rejects a response. The content is not sent again until it changes. */
  reject(nonce: string, message: string): void {
    if (nonce !== this.#nonceSent) return;
    this.#inFlight = undefined;
    this.#lastError = message;
  }

  /** Starts to send everything that exists. */
  subscribeAll(): void {
    if (this.#wildcard) return;
    this.#wildcard = true;
    this.#dirty = 'all';
  }

  unsubscribeAll(): void {
    this.#wildcard = false;
  }

  /** Starts to send some names; each is sent at the next occasion even if the client was sent it before. */
  subscribe(names: Iterable<string>): void {
    for (const name of names) {
      this.#names.add(name);
      if (this.#forced !== 'all') this.#forced.add(name);
    }
  }

  unsubscribe(names: Iterable<string>): void {
    for (const name of names) {
      this.#names.delete(name);
      if (!this.#wildcard) this.#known.delete(name);
      this.#heldRemovals.delete(name);
      if (this.#dirty !== 'all') this.#dirty.delete(name);
      if (this.#forced !== 'all') this.#forced.delete(name);
    }
  }

  /** A reconnected client says what it still has; what is unchanged is not sent again. */
  setKnown(versions: Readonly<Record<string, string>>): void {
    for (const [name, version] of Object.entries(versions)) {
      this.#known.set(name, version);
      // A known name is compared, not forced.
      if (this.#forced !== 'all' && this.#forced.delete(name)) this.#addDirty(name);
    }
  }

  /** The next response goes out even if it is empty: the client waits for one. */
  oweResponse(): void {
    this.#owesResponse = true;
  }

  /** Some content may have changed. */
  markDirty(names: DirtyNames): void {
    if (names === 'all') this.#dirty = 'all';
    else for (const name of names) if (this.#wildcard || this.#names.has(name)) this.#addDirty(name);
  }

  /** Some names are to be sent again though unchanged, such as the endpoints of a cluster that warms. */
  force(names: DirtyNames): void {
    if (names === 'all') {
      this.#forced = 'all';
      return;
    }
    if (this.#forced === 'all') return;
    for (const name of names) if (this.#wildcard || this.#names.has(name)) this.#forced.add(name);
  }

  #addDirty(name: string): void {
    if (this.#dirty !== 'all') this.#dirty.add(name);
  }

  /** What refers to the held removals has gone: they are sent at the next occasion. */
  releaseRemovals(): void {
    for (const name of this.#heldRemovals) this.#addDirty(name);
    this.#heldRemovals.clear();
  }

  /** The names that the next update must be made of; `undefined` for everything that exists. */
  namesToGenerate(): ReadonlySet<string> | undefined {
    const wantsAll = this.#dirty === 'all' || this.#forced === 'all';
    if (this.#wildcard) {
      if (wantsAll || this.#repeatsAll || this.#owesResponse) return undefined;
    } else if (wantsAll) {
      return this.#names;
    }
    return new Set([...(this.#dirty as Set<string>), ...(this.#forced as Set<string>)]);
  }

  /**
   * Compares a view with what the client has, and forgets what was pending.
   *
   * @param view The resources of {@link namesToGenerate}.
   * @param holdsRemovals What the client was told before may refer to what is gone: it keeps that for now.
   * @returns `undefined` when the client has it all.
   */
  takeUpdate(view: ResourceView, holdsRemovals = false): SubscriptionUpdate | undefined {
    const asked = this.namesToGenerate();
    const forced = this.#forced;
    const owed = this.#owesResponse;
    this.#dirty = new Set();
    this.#forced = new Set();
    this.#owesResponse = false;
    const changed: string[] = [];
    for (const [name, resource] of view.resources) {
      if (forced === 'all' || forced.has(name) || this.#known.get(name) !== resource.version) changed.push(name);
    }
    for (const name of view.resources.keys()) this.#heldRemovals.delete(name);
    const removed: string[] = [];
    for (const name of asked ?? this.#known.keys()) {
      if (view.resources.has(name)) continue;
      const isKnown = this.#known.has(name);
      if (isKnown && (holdsRemovals || this.#heldRemovals.has(name))) this.#heldRemovals.add(name);
      else if (isKnown || forced === 'all' || forced.has(name)) removed.push(name);
    }
    for (const name of removed) {
      this.#known.delete(name);
      this.#content.delete(name);
    }
    const repeatsAll = this.#repeatsAll && this.#wildcard;
    const isWorthSending = owed || changed.length > 0 || (removed.length > 0 && (!this.#repeatsAll || repeatsAll));
    if (!isWorthSending) return undefined;
    // The names come from the view itself.
    for (const name of changed) this.#known.set(name, (view.resources.get(name) as EncodedResource).version);
    if (!repeatsAll)
      return { resources: changed.map((name) => view.resources.get(name) as EncodedResource), changed, removed };
    for (const [name, resource] of view.resources) this.#content.set(name, resource);
    const held = [...this.#heldRemovals].flatMap((name) => this.#content.get(name) ?? []);
    return { resources: [...view.resources.values(), ...held], changed, removed };
  }

  /** A response went out. */
  sent(response: InFlight, nowMs: number): void {
    this.#inFlight = response;
    this.#nonceSent = response.nonce;
    this.#versionSent = response.versionInfo;
    this.#sentAtMs = nowMs;
  }

  /** Called when nothing is pending: if the client also accepted everything, it has snapshot `number`. */
  settle(number: number): void {
    if (this.isPending || this.isInFlight || this.holdsRemovals || this.#lastError !== undefined) return;
    this.#ackedNumber = number;
  }

  status(): SubscriptionStatus {
    return {
      typeUrl: this.typeUrl,
      state: this.#state(),
      wildcard: this.#wildcard,
      names: [...this.#names].sort(),
      nonceSent: this.#nonceSent,
      nonceAcked: this.#nonceAcked,
      versionSent: this.#versionSent,
      versionAcked: this.#versionAcked,
      sentAtMs: this.#sentAtMs,
      lastError: this.#lastError,
      ackedNumber: this.#ackedNumber,
      resources: this.#known,
    };
  }

  #state(): SyncState {
    if (this.#nonceSent === '') return 'NOT_SENT';
    if (this.#lastError !== undefined) return 'ERROR';
    return this.#nonceAcked === this.#nonceSent ? 'SYNCED' : 'STALE';
  }
}

function isEmpty(names: DirtyNames): boolean {
  return names !== 'all' && names.size === 0;
}
