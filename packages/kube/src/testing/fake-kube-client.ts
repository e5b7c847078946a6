import { Readable } from 'node:stream';
import { stableJson } from '@meltemi/base';
import { KubeError } from '../errors.ts';
import { parseLabelSelector } from '../kinds/label-selector-text.ts';
import { matchLabelSelector } from '../kinds/selector.ts';
import { keyText } from '../resources.ts';
import type {
  ApplyOptions,
  DeleteOptions,
  ExecOptions,
  ExecSession,
  IssuedToken,
  KubeClient,
  KubeList,
  KubeObject,
  KubePatch,
  KubeStatus,
  ListOptions,
  LogsOptions,
  NewObject,
  ObjectKey,
  ObjectMeta,
  RawRequest,
  RawResponse,
  RawStream,
  ResourceRef,
  SelectOptions,
  TokenRequestOptions,
  TokenReviewResult,
  WatchEvent,
  WatchOptions,
  WriteOptions,
} from '../types.ts';
import { applyMergePatch } from './merge-patch.ts';

/** A call that the fake is about to serve. */
export interface FakeCall {
  readonly verb: 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'apply' | 'delete';
  readonly ref: ResourceRef;
  readonly key: Partial<ObjectKey>;
  readonly subresource?: string | undefined;
  readonly object?: unknown;
}

interface Change {
  readonly version: number;
  readonly plural: string;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: KubeObject;
  readonly previous: KubeObject | undefined;
}

type Writable = { -readonly [Field in keyof ObjectMeta]: ObjectMeta[Field] };

/** Moments are counted from here, one second per write, so that tests see the same times each run. */
const FIRST_TIMESTAMP_MS = Date.UTC(2026, 0, 1);

function fieldText(object: unknown, path: string): string {
  const value = path
    .split('.')
    .reduce<unknown>((parent, name) => (parent as Readonly<Record<string, unknown>> | undefined)?.[name], object);
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

function isSelected(object: KubeObject, { namespace, labelSelector, fieldSelector }: SelectOptions): boolean {
  if (namespace !== undefined && object.metadata.namespace !== namespace) return false;
  const matchExpressions = parseLabelSelector(labelSelector ?? '');
  if (!matchLabelSelector({ matchExpressions }, object.metadata.labels)) return false;
  return (fieldSelector ?? '')
    .split(',')
    .filter((part) => part !== '')
    .every((part) => {
      const [, path = '', operator, wanted = ''] = /^([^=!]+)(==|=|!=)(.*)$/.exec(part) ?? [];
      const isEqual = fieldText(object, path) === wanted;
      return operator === '!=' ? !isEqual : isEqual;
    });
}

/**
 * A cluster's API in memory: create, read, update, patch, delete, list, watch, finalizers, status subresource.
 *
 * There are no schemas, defaults, controllers or admission; objects are what the test puts in. Server-side apply is a
 * merge without field ownership. Calls can be made to fail with {@link FakeKubeClient.failWhen}.
 */
export class FakeKubeClient implements KubeClient {
  readonly server = 'https://fake.invalid';
  /** Every call, in order, also those that failed. */
  readonly calls: FakeCall[] = [];
  /** Answers TokenReviews; replace it. */
  onTokenReview: (token: string, audiences: readonly string[]) => TokenReviewResult = () => ({
    authenticated: false,
    groups: [],
    extra: {},
    audiences: [],
    error: 'token is not known',
  });
  /** Answers raw requests; replace it. */
  onRequest: (request: RawRequest) => RawResponse = () => ({ status: 404, headers: {}, body: '' });
  /** Answers exec; replace it. */
  onExec: (options: ExecOptions) => Promise<number> = () => Promise.resolve(0);
  /** Answers logs; replace it. */
  onLogs: (pod: ObjectKey, options: LogsOptions) => string = () => '';

  readonly #collections = new Map<string, Map<string, KubeObject>>();
  readonly #history: Change[] = [];
  readonly #watchers = new Set<() => void>();
  readonly #failures: ((call: FakeCall) => KubeError | undefined)[] = [];
  #version = 0;
  #uidCount = 0;
  #oldestVersion = 0;

  /** Puts objects in, as `create` would, without recording calls. */
  seed<Kind extends KubeObject>(ref: ResourceRef<Kind>, ...objects: readonly NewObject<Kind>[]): void {
    for (const object of objects) this.#store(ref, this.#stamp(ref, object));
  }

  /** Lets a function refuse calls: what it returns is thrown. @returns Takes the function out again. */
  failWhen(decide: (call: FakeCall) => KubeError | undefined): () => void {
    this.#failures.push(decide);
    return () => void this.#failures.splice(this.#failures.indexOf(decide), 1);
  }

  /** Forgets the history: watches from earlier versions end with 410. */
  compact(): void {
    this.#oldestVersion = this.#version;
    for (const wake of this.#watchers) wake();
  }

  /** Present objects of a kind, sorted by key. */
  objects<Kind extends KubeObject>(ref: ResourceRef<Kind>, namespace?: string): readonly Kind[] {
    return [...this.#collection(ref).entries()]
      .filter(([, object]) => namespace === undefined || object.metadata.namespace === namespace)
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([, object]) => object as Kind);
  }

  async get<Kind extends KubeObject>(ref: ResourceRef<Kind>, key: ObjectKey): Promise<Kind> {
    await this.#admit({ verb: 'get', ref, key });
    return this.#present(ref, key);
  }

  async find<Kind extends KubeObject>(ref: ResourceRef<Kind>, key: ObjectKey): Promise<Kind | undefined> {
    await this.#admit({ verb: 'get', ref, key });
    return this.#collection(ref).get(keyText(key)) as Kind | undefined;
  }

  async list<Kind extends KubeObject>(
    ref: ResourceRef<Kind>,
    options: ListOptions<Kind> = {},
  ): Promise<KubeList<Kind>> {
    const { transform = (object: Kind) => object } = options;
    await this.#admit({ verb: 'list', ref, key: { namespace: options.namespace } });
    const items = this.objects(ref)
      .filter((object) => isSelected(object, options))
      .map(transform);
    return { apiVersion: 'v1', kind: `${ref.kind}List`, metadata: { resourceVersion: String(this.#version) }, items };
  }

  async create<Kind extends KubeObject>(
    ref: ResourceRef<Kind>,
    object: NewObject<Kind>,
    options: WriteOptions = {},
  ): Promise<Kind> {
    await this.#admit({ verb: 'create', ref, key: object.metadata, object });
    const stamped = this.#stamp(ref, object);
    if (this.#collection(ref).has(keyText(stamped.metadata))) {
      throw this.#error(409, 'AlreadyExists', `${ref.plural} "${stamped.metadata.name}" already exists`);
    }
    return options.dryRun === true ? stamped : this.#store(ref, stamped);
  }

  async update<Kind extends KubeObject>(
    ref: ResourceRef<Kind>,
    object: Kind,
    options: WriteOptions = {},
  ): Promise<Kind> {
    await this.#admit({ verb: 'update', ref, key: object.metadata, subresource: options.subresource, object });
    return this.#replace(ref, object, options.subresource);
  }

  async patch<Kind extends KubeObject>(
    ref: ResourceRef<Kind>,
    key: ObjectKey,
    patch: KubePatch,
    options: WriteOptions = {},
  ): Promise<Kind> {
    await this.#admit({ verb: 'patch', ref, key, subresource: options.subresource, object: patch.body });
    if (patch.type === 'json') throw new Error('The fake cluster knows no JSON patches');
    const merged = applyMergePatch(this.#present(ref, key), patch.body) as Kind;
    return this.#replace(ref, merged, options.subresource);
  }

  async apply<Kind extends KubeObject>(
    ref: ResourceRef<Kind>,
    object: NewObject<Kind>,
    options: ApplyOptions,
  ): Promise<Kind> {
    const key = { namespace: object.metadata.namespace, name: object.metadata.name ?? '' };
    await this.#admit({ verb: 'apply', ref, key, subresource: options.subresource, object });
    const present = this.#collection(ref).get(keyText(key));
    if (present === undefined) return this.#store(ref, this.#stamp(ref, object));
    return this.#replace(ref, applyMergePatch(present, object) as Kind, options.subresource);
  }

  async delete<Kind extends KubeObject>(
    ref: ResourceRef<Kind>,
    key: ObjectKey,
    options: DeleteOptions = {},
  ): Promise<KubeStatus | Kind> {
    await this.#admit({ verb: 'delete', ref, key, object: options });
    const present = this.#present(ref, key);
    if (options.uid !== undefined && options.uid !== present.metadata.uid) {
      throw this.#error(409, 'Conflict', `the uid of "${key.name}" is another`);
    }
    if ((present.metadata.finalizers ?? []).length === 0) {
      this.#remove(ref, present);
      return { kind: 'Status', status: 'Success' };
    }
    if (present.metadata.deletionTimestamp !== undefined) return present;
    return this.#store(ref, { ...present, metadata: { ...present.metadata, deletionTimestamp: this.#now() } });
  }

  createSubresource<Answer>(ref: ResourceRef, _key: ObjectKey, subresource: string): Promise<Answer> {
    return Promise.reject(this.#error(404, 'NotFound', `the fake cluster has no ${ref.plural}/${subresource}`));
  }

  createToken(serviceAccount: ObjectKey, options: TokenRequestOptions = {}): Promise<IssuedToken> {
    const token = `token:${keyText(serviceAccount)}:${(options.audiences ?? []).join(',')}`;
    return Promise.resolve({
      token,
      expirationUnixMs: FIRST_TIMESTAMP_MS + (options.expirationSeconds ?? 3600) * 1000,
    });
  }

  reviewToken(review: { readonly token: string; readonly audiences?: readonly string[] }): Promise<TokenReviewResult> {
    return Promise.resolve(this.onTokenReview(review.token, review.audiences ?? []));
  }

  async *watch<Kind extends KubeObject>(
    ref: ResourceRef<Kind>,
    options: WatchOptions = {},
  ): AsyncGenerator<WatchEvent<Kind>> {
    await this.#admit({ verb: 'watch', ref, key: { namespace: options.namespace } });
    options.onActivity?.();
    let seen = Number(options.resourceVersion ?? '0');
    if (seen === 0) {
      seen = this.#version;
      for (const object of this.objects(ref)) if (isSelected(object, options)) yield { type: 'ADDED', object };
    }
    while (options.signal?.aborted !== true) {
      if (seen < this.#oldestVersion) {
        yield { type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' } };
        return;
      }
      const fresh = this.#history.filter((change) => change.version > seen);
      seen = this.#version;
      for (const change of fresh) {
        const event = change.plural === this.#collectionName(ref) ? this.#eventOf<Kind>(change, options) : undefined;
        if (event !== undefined) yield event;
      }
      if (this.#version === seen) await this.#nextChange(options.signal);
    }
  }

  request(request: RawRequest): Promise<RawResponse> {
    return Promise.resolve(this.onRequest(request));
  }

  stream(request: RawRequest): Promise<RawStream> {
    const { status, headers, body } = this.onRequest(request);
    return Promise.resolve({ status, headers, body: Readable.from([body]) });
  }

  logs(pod: ObjectKey, options: LogsOptions = {}): Promise<Readable> {
    return Promise.resolve(Readable.from([this.onLogs(pod, options)]));
  }

  exec(options: ExecOptions): ExecSession {
    return { resize: () => {}, done: this.onExec(options) };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  #collectionName(ref: ResourceRef): string {
    return `${ref.group}/${ref.plural}`;
  }

  #collection(ref: ResourceRef): Map<string, KubeObject> {
    const name = this.#collectionName(ref);
    let found = this.#collections.get(name);
    if (found === undefined) this.#collections.set(name, (found = new Map()));
    return found;
  }

  /** Every call takes a turn of the event loop, as a real one would. */
  async #admit(call: FakeCall): Promise<void> {
    await Promise.resolve();
    this.calls.push(call);
    for (const decide of this.#failures) {
      const error = decide(call);
      if (error !== undefined) throw error;
    }
  }

  #error(statusCode: number, reason: string, message: string): KubeError {
    return new KubeError(message, {
      statusCode,
      reason,
      status: { kind: 'Status', status: 'Failure', code: statusCode, reason, message },
    });
  }

  #present<Kind extends KubeObject>(ref: ResourceRef<Kind>, key: ObjectKey): Kind {
    const object = this.#collection(ref).get(keyText(key));
    if (object === undefined) throw this.#error(404, 'NotFound', `${ref.plural} "${key.name}" not found`);
    return object as Kind;
  }

  #now(): string {
    return new Date(FIRST_TIMESTAMP_MS + this.#version * 1000).toISOString().replace('.000Z', 'Z');
  }

  #stamp<Kind extends KubeObject>(ref: ResourceRef<Kind>, object: NewObject<Kind>): Kind {
    this.#uidCount += 1;
    const { name, generateName } = object.metadata;
    const metadata: Writable = {
      creationTimestamp: this.#now(),
      generation: 1,
      ...object.metadata,
      name: name ?? `${generateName ?? ''}${this.#uidCount.toString(36).padStart(5, '0')}`,
      uid: object.metadata.uid ?? `uid-${this.#uidCount}`,
    };
    if (ref.namespaced) metadata.namespace ??= 'default';
    // `NewObject` is `Kind` but for the name, which is there now.
    return { ...object, metadata } as unknown as Kind;
  }

  #replace<Kind extends KubeObject>(ref: ResourceRef<Kind>, object: Kind, subresource: string | undefined): Kind {
    const present = this.#present(ref, object.metadata) as Kind & {
      readonly status?: unknown;
      readonly spec?: unknown;
    };
    const { resourceVersion } = object.metadata;
    if (resourceVersion !== undefined && resourceVersion !== present.metadata.resourceVersion) {
      throw this.#error(409, 'Conflict', `the object has been modified: ${object.metadata.name}`);
    }
    const given = object as Kind & { readonly status?: unknown; readonly spec?: unknown };
    const { uid, creationTimestamp, deletionTimestamp, generation = 1 } = present.metadata;
    const isSpecChange = subresource !== 'status' && stableJson(given.spec) !== stableJson(present.spec);
    const metadata = {
      ...object.metadata,
      uid,
      creationTimestamp,
      ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
      generation: isSpecChange ? generation + 1 : generation,
    };
    const next = (subresource === 'status' ? { ...present, status: given.status } : { ...object, metadata }) as Kind;
    const withVersion = { ...next, metadata: { ...next.metadata, resourceVersion: present.metadata.resourceVersion } };
    if (stableJson(withVersion) === stableJson(present)) return present;
    if (deletionTimestamp !== undefined && (next.metadata.finalizers ?? []).length === 0) {
      this.#remove(ref, next);
      return next;
    }
    return this.#store(ref, next);
  }

  #store<Kind extends KubeObject>(ref: ResourceRef<Kind>, object: Kind): Kind {
    const key = keyText(object.metadata);
    const previous = this.#collection(ref).get(key);
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version + 1) } };
    this.#collection(ref).set(key, stored);
    this.#record(ref, { type: previous === undefined ? 'ADDED' : 'MODIFIED', object: stored, previous });
    return stored;
  }

  #remove(ref: ResourceRef, object: KubeObject): void {
    this.#collection(ref).delete(keyText(object.metadata));
    const last = { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version + 1) } };
    this.#record(ref, { type: 'DELETED', object: last, previous: object });
  }

  #record(ref: ResourceRef, change: Omit<Change, 'version' | 'plural'>): void {
    this.#version += 1;
    this.#history.push({ ...change, version: this.#version, plural: this.#collectionName(ref) });
    for (const wake of this.#watchers) wake();
  }

  /** An object that enters or leaves a selection is ADDED or DELETED for that watch. */
  #eventOf<Kind extends KubeObject>(change: Change, options: WatchOptions): WatchEvent<Kind> | undefined {
    const object = change.object as Kind;
    const isIn = isSelected(object, options) && change.type !== 'DELETED';
    const wasIn = change.previous !== undefined && isSelected(change.previous, options);
    if (isIn) return { type: wasIn ? 'MODIFIED' : 'ADDED', object };
    return wasIn ? { type: 'DELETED', object } : undefined;
  }

  #nextChange(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#watchers.delete(wake);
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      this.#watchers.add(wake);
      signal?.addEventListener('abort', wake, { once: true });
    });
  }
}
