import {
  type Clock,
  createBackoff,
  type Log,
  messageOf,
  type Random,
  silentLog,
  sleep,
  systemClock,
  systemRandom,
} from '@meltemi/base';
import { isExpired, isTurnedAway, KubeError } from './errors.ts';
import { createInformerStore, type IndexFunctions, type MutableStore } from './informer-store.ts';
import { keyText } from './resources.ts';
import { statusToError } from './status-error.ts';
import type {
  Informer,
  InformerHandlers,
  InformerState,
  InformerStore,
  KubeClient,
  KubeObject,
  ResourceRef,
  SelectOptions,
  WatchEvent,
} from './types.ts';
import { SILENT_WATCH } from './watch.ts';

/** Pauses after failures, as client-go's reflector has them. */
const BACKOFF_BASE_MS = 800;
const BACKOFF_MAX_MS = 30_000;
/** A server that asks to be left alone for longer is asked again all the same. */
const LONGEST_ASKED_PAUSE_MS = 30_000;

/** The server ends each watch after a time drawn from here, so that the watches of a restart do not stay in step. */
const WATCH_MIN_SECONDS = 300;
const WATCH_SPREAD_SECONDS = 300;

/** A server sends a bookmark about once a minute; after this long without a byte the connection is taken for dead. */
const WATCH_SILENCE_MS = 90_000;

/** A watch that ends sooner and brought nothing counts as a failure: reopening it at once would be a busy loop. */
const SHORTEST_GOOD_WATCH_MS = 1_000;

/** A server that accepts this many watches from one version and then breaks each of them cannot read past that version. */
const FRUITLESS_WATCHES = 3;

/** Pages of the first list and of every relist. */
const PAGE_SIZE = 500;

/** What an informer follows, and how. */
export interface InformerOptions<Kind extends KubeObject> extends SelectOptions {
  readonly client: Pick<KubeClient, 'list' | 'watch' | 'server'>;
  readonly ref: ResourceRef<Kind>;
  readonly indexes?: IndexFunctions<Kind>;
  /** Reduces what is kept of an object. Default: all but `managedFields`. */
  readonly transform?: (object: Kind) => Kind;
  readonly log?: Log;
  readonly clock?: Clock;
  readonly random?: Random;
  /** Default 90 s. */
  readonly silenceMs?: number;
  /** Bounds of the pause after a failure. Default 800 ms and 30 s. */
  readonly backoff?: { readonly baseMs: number; readonly maxMs: number };
}

function withoutManagedFields<Kind extends KubeObject>(object: Kind): Kind {
  if (object.metadata.managedFields === undefined) return object;
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}

function isSilence(error: unknown): boolean {
  return error instanceof KubeError && error.reason === SILENT_WATCH;
}

/** Objects that are not the server's to be told apart by: same incarnation, same version. */
function isSameVersion(left: KubeObject, right: KubeObject): boolean {
  return (
    left.metadata.uid === right.metadata.uid &&
    left.metadata.resourceVersion !== undefined &&
    left.metadata.resourceVersion === right.metadata.resourceVersion
  );
}

/**
 * Lists, then watches, then begins again when it must: after 410 by listing anew, after a lost
 * connection or a passing refusal by watching on from the last version seen.
 */
class ListWatchInformer<Kind extends KubeObject> implements Informer<Kind> {
  readonly ref: ResourceRef<Kind>;
  readonly synced: Promise<void>;
  readonly #options: InformerOptions<Kind>;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: Log;
  readonly #store: MutableStore<Kind>;
  readonly #subscribers = new Set<InformerHandlers<Kind>>();
  readonly #backoff: ReturnType<typeof createBackoff>;
  /** The failure before was an expired version: a server that answers every watch so is asked less and less often. */
  #hadExpired = false;
  /** Watches in a row that the server accepted and broke before anything came of them. */
  #fruitlessCount = 0;
  readonly #settleSynced: () => void;
  #state: InformerState = 'idle';
  #hasSynced = false;
  #lastActivityMs: number | undefined;
  #lastError: unknown;
  /** Version to watch on from; `undefined` asks for a list. */
  #resourceVersion: string | undefined;

  constructor(options: InformerOptions<Kind>) {
    const { backoff = { baseMs: BACKOFF_BASE_MS, maxMs: BACKOFF_MAX_MS } } = options;
    this.ref = options.ref;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? systemRandom;
    this.#log = options.log ?? silentLog;
    this.#store = createInformerStore(options.indexes);
    this.#backoff = createBackoff({ ...backoff, random: this.#random });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.synced = promise;
    this.#settleSynced = resolve;
  }

  get store(): InformerStore<Kind> {
    return this.#store;
  }

  get state(): InformerState {
    return this.#state;
  }

  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  get lastActivityMs(): number | undefined {
    return this.#lastActivityMs;
  }

  get lastError(): unknown {
    return this.#lastError;
  }

  start(signal: AbortSignal): Promise<void> {
    if (this.#state !== 'idle') throw new Error(`BUG: the informer of ${this.ref.plural} was started twice`);
    // `#run` catches all that may fail; what escapes is a bug and ends the process as an unhandled rejection.
    void this.#run(signal);
    return this.synced;
  }

  subscribe(handlers: InformerHandlers<Kind>): () => void {
    for (const object of this.#store.list()) this.#guard(() => handlers.onAdd?.(object));
    this.#subscribers.add(handlers);
    return () => void this.#subscribers.delete(handlers);
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        if (this.#resourceVersion === undefined) await this.#list(signal);
        await this.#watch(signal);
      } catch (error) {
        if (signal.aborted) break;
        await this.#recover(error, signal);
      }
    }
    this.#state = 'stopped';
    this.#settleSynced();
  }

  async #recover(error: unknown, signal: AbortSignal): Promise<void> {
    // Silence is not an answer: the version that was reached is still good.
    if (isSilence(error)) return;
    const lostConnection = error instanceof KubeError && error.statusCode === 0;
    // Being turned away says nothing about the version that was reached.
    if (!lostConnection && !isTurnedAway(error)) this.#resourceVersion = undefined;
    // Servers are restarted and connections dropped: what heals with the next attempt is nobody's concern.
    const isFirstLoss = lostConnection && this.#hasSynced && this.#lastError === undefined;
    const isRepeated = this.#lastError !== undefined && messageOf(this.#lastError) === messageOf(error);
    this.#lastError = error;
    this.#state = 'waiting';
    this.#tell((handlers) => handlers.onFailure?.(error));
    // The server is back and says what to do: how long it was away must not keep us blind any longer.
    const hasExpired = isExpired(error);
    if (hasExpired && !this.#hadExpired) this.#backoff.reset();
    this.#hadExpired = hasExpired;
    const askedMs = error instanceof KubeError ? (error.retryAfterMs ?? 0) : 0;
    const delayMs = Math.max(this.#backoff.nextMs(), Math.min(askedMs, LONGEST_ASKED_PAUSE_MS));
    const fields = { server: this.#options.client.server, retryMs: Math.round(delayMs), error: messageOf(error) };
    if (hasExpired) this.#log.info(`Listing ${this.ref.plural} anew: the watch fell too far behind`, fields);
    else if (isFirstLoss || isRepeated) this.#log.debug(`Cannot follow ${this.ref.plural} for the moment`, fields);
    else this.#log.warn(`Cannot follow ${this.ref.plural}; will try again`, fields);
    await sleep(this.#clock, delayMs, signal);
  }

  async #list(signal: AbortSignal): Promise<void> {
    this.#state = 'listing';
    const { client, namespace, labelSelector, fieldSelector } = this.#options;
    const transform = (object: Kind): Kind => this.#transform(object);
    const select = { namespace, labelSelector, fieldSelector };
    const list = await client.list(this.ref, { ...select, pageSize: PAGE_SIZE, transform, signal });
    this.#noteActivity();
    this.#replaceAll(list.items);
    // A server without versions is asked for everything with each watch.
    this.#resourceVersion = list.metadata.resourceVersion ?? '';
    this.#hasSynced = true;
    this.#settleSynced();
  }

  async #watch(signal: AbortSignal): Promise<void> {
    this.#state = 'watching';
    const { client, namespace, labelSelector, fieldSelector, silenceMs = WATCH_SILENCE_MS } = this.#options;
    const startedMs = this.#clock.monotonicMs();
    let eventCount = 0;
    let isAccepted = false;
    const events = client.watch(this.ref, {
      namespace,
      labelSelector,
      fieldSelector,
      resourceVersion: this.#resourceVersion,
      timeoutSeconds: Math.round(WATCH_MIN_SECONDS + WATCH_SPREAD_SECONDS * this.#random()),
      silenceMs,
      signal,
      onActivity: () => {
        isAccepted = true;
        this.#noteActivity();
      },
    });
    try {
      for await (const event of events) {
        if (signal.aborted) return;
        this.#noteActivity();
        this.#applyEvent(event);
        eventCount += 1;
        this.#backoff.reset();
        this.#hadExpired = false;
        this.#fruitlessCount = 0;
      }
    } catch (error) {
      if (isAccepted && eventCount === 0 && !isSilence(error)) this.#noteFruitless();
      throw error;
    }
    if (signal.aborted) return;
    if (eventCount > 0 || this.#clock.monotonicMs() - startedMs >= SHORTEST_GOOD_WATCH_MS) return;
    throw new KubeError(`Cannot watch ${this.ref.plural}: the server ends each watch at once`, { statusCode: 0 });
  }

  #noteFruitless(): void {
    this.#fruitlessCount += 1;
    if (this.#fruitlessCount < FRUITLESS_WATCHES) return;
    this.#fruitlessCount = 0;
    this.#resourceVersion = undefined;
  }

  #noteActivity(): void {
    this.#lastActivityMs = this.#clock.monotonicMs();
    this.#lastError = undefined;
  }

  #applyEvent(event: WatchEvent<Kind>): void {
    if (event.type === 'ERROR') {
      this.#resourceVersion = undefined;
      throw statusToError(`watch ${this.ref.plural}`, event.object);
    }
    if (event.type !== 'BOOKMARK') {
      const object = this.#transform(event.object);
      if (event.type === 'DELETED') this.#remove(object);
      else this.#upsert(object);
    }
    this.#resourceVersion = event.object.metadata.resourceVersion ?? this.#resourceVersion;
  }

  /** Brings the store to a new full state, telling only the differences. */
  #replaceAll(items: readonly Kind[]): void {
    const present = new Set(items.map((item) => keyText(item.metadata)));
    // Removals before additions: an address may have moved from a vanished object to a new one.
    for (const known of this.#store.list()) {
      if (!present.has(keyText(known.metadata))) this.#remove(known);
    }
    for (const item of items) this.#upsert(item);
  }

  #upsert(object: Kind): void {
    const known = this.#store.get(object.metadata);
    if (known !== undefined && isSameVersion(known, object)) return;
    // Deleted and created again while we did not look: two objects, not a change of one.
    if (known !== undefined && known.metadata.uid !== object.metadata.uid) this.#remove(known);
    const previous = this.#store.set(object);
    if (previous === undefined) this.#tell((handlers) => handlers.onAdd?.(object));
    else this.#tell((handlers) => handlers.onUpdate?.(object, previous));
  }

  #remove(object: Kind): void {
    if (this.#store.remove(object.metadata) !== undefined) this.#tell((handlers) => handlers.onDelete?.(object));
  }

  #transform(object: Kind): Kind {
    return (this.#options.transform ?? withoutManagedFields)(object);
  }

  #tell(call: (handlers: InformerHandlers<Kind>) => void): void {
    for (const handlers of this.#subscribers) this.#guard(() => call(handlers));
  }

  /** A handler that throws must not cost the others their events, nor this informer its watch. */
  #guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#log.error(`BUG: a handler of ${this.ref.plural} failed`, { error: messageOf(error) });
    }
  }
}

/** Creates an informer; nothing is asked of the server before `start`. */
export function createInformer<Kind extends KubeObject>(options: InformerOptions<Kind>): Informer<Kind> {
  return new ListWatchInformer(options);
}
