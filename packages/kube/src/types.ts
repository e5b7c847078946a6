import type { Readable, Writable } from 'node:stream';

/** Name and namespace of an object; cluster-scoped kinds have no namespace. */
export interface ObjectKey {
  readonly name: string;
  readonly namespace?: string | undefined;
}

/** Says that an object belongs to another and goes with it. */
export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

/** Standard object metadata, as read from an API server. */
export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly generateName?: string;
  readonly uid?: string;
  /** Opaque version of this object, only to be compared for equality and handed back. */
  readonly resourceVersion?: string;
  readonly generation?: number;
  /** RFC 3339. */
  readonly creationTimestamp?: string;
  /** RFC 3339; set while the object waits for its finalizers or its grace period. */
  readonly deletionTimestamp?: string;
  readonly deletionGracePeriodSeconds?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerReference[];
  readonly managedFields?: readonly unknown[];
}

/** Any Kubernetes object. The types under `kinds/` narrow it. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
}

/** An object about to be created: the server fills in what is missing of the metadata. */
export type NewObject<Kind extends KubeObject> = Omit<Kind, 'metadata'> & {
  readonly metadata: Omit<ObjectMeta, 'name'> & { readonly name?: string };
};

/** Where a kind lives in the API. The type parameter is the shape of its objects. */
export interface ResourceRef<Kind extends KubeObject = KubeObject> {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  /** Lower case, as in URLs: `endpointslices`. */
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Never set: it lets the compiler carry `Kind` from the reference to the calls. */
  readonly objectType?: Kind;
}

/** A list as the API serves it. */
export interface KubeList<Kind extends KubeObject> {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items: readonly Kind[];
}

/** The API's way of saying how a call ended. */
export interface KubeStatus {
  readonly apiVersion?: string;
  readonly kind: 'Status';
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly status?: 'Success' | 'Failure';
  readonly message?: string;
  /** `NotFound`, `AlreadyExists`, `Conflict`, `Invalid`, `Forbidden`, `Expired`, … */
  readonly reason?: string;
  readonly code?: number;
  readonly details?: {
    readonly name?: string;
    readonly group?: string;
    readonly kind?: string;
    readonly uid?: string;
    readonly causes?: readonly { readonly reason?: string; readonly message?: string; readonly field?: string }[];
    readonly retryAfterSeconds?: number;
  };
}

/** One message of a watch. A BOOKMARK carries nothing but the version that was reached. */
export type WatchEvent<Kind extends KubeObject> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK'; readonly object: Kind }
  | { readonly type: 'ERROR'; readonly object: KubeStatus };

/** Limits of one call. */
export interface CallOptions {
  /** Ends the call; the promise then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Whole call including the body; default 30 s. Not applied to streams. */
  readonly timeoutMs?: number | undefined;
}

/** Which objects of a kind are meant. */
export interface SelectOptions {
  /** Absent: every namespace (or a cluster-scoped kind). */
  readonly namespace?: string | undefined;
  /** `app=sleep,version in (v1,v2)`. */
  readonly labelSelector?: string | undefined;
  /** `spec.nodeName=node1`. */
  readonly fieldSelector?: string | undefined;
}

/** Which objects to list, and how. */
export interface ListOptions<Kind extends KubeObject = KubeObject> extends SelectOptions, CallOptions {
  /** Objects per request; pages are fetched one after the other and joined. Default 500; 0 asks for all at once. */
  readonly pageSize?: number | undefined;
  /** `0` lets the server answer from its cache. */
  readonly resourceVersion?: string | undefined;
  /** Reduces each object as soon as its page is read, so that no more than one page is held in full. */
  readonly transform?: ((object: Kind) => Kind) | undefined;
}

/** Which objects to watch, from where, and for how long. */
export interface WatchOptions extends SelectOptions {
  /** Events after this version; absent: the present objects first, as ADDED. */
  readonly resourceVersion?: string | undefined;
  /** The server ends the watch after this long. */
  readonly timeoutSeconds?: number | undefined;
  /** Default true. */
  readonly allowBookmarks?: boolean | undefined;
  /** Ends the watch with an error when nothing at all arrives for this long; default: never. */
  readonly silenceMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called when the server has accepted the watch, and for every piece of data that arrives. */
  readonly onActivity?: (() => void) | undefined;
}

/** How a write is to be taken. */
export interface WriteOptions extends CallOptions {
  readonly dryRun?: boolean | undefined;
  readonly fieldManager?: string | undefined;
  /** `Strict` refuses unknown fields, `Warn` answers with warnings. Server's default when absent. */
  readonly fieldValidation?: 'Strict' | 'Warn' | 'Ignore' | undefined;
  /** `status`, `scale`, … */
  readonly subresource?: string | undefined;
  /** Told each `Warning` header of the answer. */
  readonly onWarning?: ((text: string) => void) | undefined;
}

/** How an apply is to be taken, and in whose name. */
export interface ApplyOptions extends WriteOptions {
  readonly fieldManager: string;
  /** Take fields over from other managers; default true, as controllers do. */
  readonly force?: boolean | undefined;
}

/** What is to become of the object and of what it owns. */
export interface DeleteOptions extends CallOptions {
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan' | undefined;
  readonly gracePeriodSeconds?: number | undefined;
  /** Delete only this incarnation. */
  readonly uid?: string | undefined;
  readonly dryRun?: boolean | undefined;
}

/** `merge`: RFC 7386; `strategic`: Kubernetes' own, built-in kinds only; `json`: RFC 6902, `body` is the list of operations. */
export interface KubePatch {
  readonly type: 'merge' | 'strategic' | 'json';
  readonly body: unknown;
}

/** A request to any path of the API server. */
export interface RawRequest extends CallOptions {
  readonly method: string;
  /** Path with query, starting with a slash. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: string | Uint8Array | undefined;
}

/** A whole answer. */
export interface RawResponse {
  readonly status: number;
  /** Names in lower case; repeated headers joined by `, `. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** An answer whose body is still arriving. */
export interface RawStream {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Must be read to its end or destroyed. */
  readonly body: Readable;
}

/** Which part of which container's log. */
export interface LogsOptions {
  readonly container?: string | undefined;
  readonly follow?: boolean | undefined;
  readonly previous?: boolean | undefined;
  readonly timestamps?: boolean | undefined;
  readonly tailLines?: number | undefined;
  readonly sinceSeconds?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A command to run in a container, and its standard streams. */
export interface ExecOptions {
  readonly pod: ObjectKey;
  readonly container?: string | undefined;
  readonly command: readonly string[];
  /** Read to its end, which is passed on. */
  readonly stdin?: Readable | undefined;
  /** Written to, not ended. Absent: discarded. */
  readonly stdout?: Writable | undefined;
  /** Written to, not ended. Absent: discarded. */
  readonly stderr?: Writable | undefined;
  readonly tty?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A command that runs in a container. */
export interface ExecSession {
  /** Tells the remote terminal its size. */
  resize(size: { readonly columns: number; readonly rows: number }): void;
  /** The command's exit code. Rejects when the connection fails or the command could not be started. */
  readonly done: Promise<number>;
}

/** For whom and for how long a token is wanted. */
export interface TokenRequestOptions extends CallOptions {
  readonly audiences?: readonly string[] | undefined;
  readonly expirationSeconds?: number | undefined;
  readonly boundObject?:
    | { readonly kind: string; readonly apiVersion: string; readonly name: string; readonly uid: string }
    | undefined;
}

/** A token and the end of its life. */
export interface IssuedToken {
  readonly token: string;
  readonly expirationUnixMs: number;
}

/** What an API server says about a bearer token. */
export interface TokenReviewResult {
  readonly authenticated: boolean;
  readonly username?: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
  /** Those of the asked audiences that the token is meant for. */
  readonly audiences: readonly string[];
  readonly error?: string;
}

/**
 * One cluster's API. Every call rejects with `KubeError`: with the server's status code when it answered,
 * with `statusCode` 0 when it could not be reached.
 */
export interface KubeClient extends AsyncDisposable {
  /** The server's base URL, for messages. */
  readonly server: string;
  get<Kind extends KubeObject>(ref: ResourceRef<Kind>, key: ObjectKey, options?: CallOptions): Promise<Kind>;
  /** As `get`, but an absent object is `undefined`. */
  find<Kind extends KubeObject>(
    ref: ResourceRef<Kind>,
    key: ObjectKey,
    options?: CallOptions,
  ): Promise<Kind | undefined>;
  list<Kind extends KubeObject>(ref: ResourceRef<Kind>, options?: ListOptions<Kind>): Promise<KubeList<Kind>>;
  /** Namespace and name come from the object's metadata, here and in `update` and `apply`. */
  create<Kind extends KubeObject>(
    ref: ResourceRef<Kind>,
    object: NewObject<Kind>,
    options?: WriteOptions,
  ): Promise<Kind>;
  /** Replaces; with `metadata.resourceVersion` set it fails with `Conflict` when somebody else wrote in between. */
  update<Kind extends KubeObject>(ref: ResourceRef<Kind>, object: Kind, options?: WriteOptions): Promise<Kind>;
  patch<Kind extends KubeObject>(
    ref: ResourceRef<Kind>,
    key: ObjectKey,
    patch: KubePatch,
    options?: WriteOptions,
  ): Promise<Kind>;
  /** Server-side apply. */
  apply<Kind extends KubeObject>(ref: ResourceRef<Kind>, object: NewObject<Kind>, options: ApplyOptions): Promise<Kind>;
  delete<Kind extends KubeObject>(
    ref: ResourceRef<Kind>,
    key: ObjectKey,
    options?: DeleteOptions,
  ): Promise<KubeStatus | Kind>;
  /** POST to a subresource whose body and answer are other kinds: `token`, `binding`, `eviction`. */
  createSubresource<Answer>(
    ref: ResourceRef,
    key: ObjectKey,
    subresource: string,
    body: unknown,
    options?: CallOptions,
  ): Promise<Answer>;
  /** A token of a ServiceAccount (TokenRequest). */
  createToken(serviceAccount: ObjectKey, options?: TokenRequestOptions): Promise<IssuedToken>;
  /** Asks who holds a token (TokenReview). */
  reviewToken(
    review: { readonly token: string; readonly audiences?: readonly string[] },
    options?: CallOptions,
  ): Promise<TokenReviewResult>;
  /** Ends normally when the server ends it; throws `KubeError` when refused, dropped or silent. */
  watch<Kind extends KubeObject>(ref: ResourceRef<Kind>, options?: WatchOptions): AsyncIterable<WatchEvent<Kind>>;
  /** Any path. An answer of 400 or more is returned, not thrown. */
  request(request: RawRequest): Promise<RawResponse>;
  /** Any path, body as a stream. An answer of 400 or more is returned, not thrown. */
  stream(request: RawRequest): Promise<RawStream>;
  logs(pod: ObjectKey, options?: LogsOptions): Promise<Readable>;
  exec(options: ExecOptions): ExecSession;
}

/** What to do when a followed object appears, changes or goes. */
export interface InformerHandlers<Kind extends KubeObject> {
  onAdd?(object: Kind): void;
  /** Not called when only the version that a relist repeats is seen. */
  onUpdate?(object: Kind, previous: Kind): void;
  /** @param object The last state that was seen. */
  onDelete?(object: Kind): void;
  /** An attempt to read or to follow has failed, and will be made again. */
  onFailure?(error: unknown): void;
}

/** Objects as last seen. Read-only for everyone but the informer. */
export interface InformerStore<Kind extends KubeObject> {
  readonly size: number;
  get(key: ObjectKey): Kind | undefined;
  /** In no particular order. */
  list(namespace?: string): readonly Kind[];
  /** Objects for which the named index function gave this value. @throws Error when there is no such index. */
  byIndex(index: string, value: string): readonly Kind[];
}

/** `listing` and `watching` are healthy; `waiting` is the pause after a failure. */
export type InformerState = 'idle' | 'listing' | 'watching' | 'waiting' | 'stopped';

/**
 * A local copy of all objects of a kind, kept up to date for as long as its signal is not aborted, whatever the
 * server does. Handlers run synchronously, in the order of the events, after the store has changed.
 */
export interface Informer<Kind extends KubeObject> {
  readonly ref: ResourceRef<Kind>;
  readonly store: InformerStore<Kind>;
  readonly state: InformerState;
  readonly hasSynced: boolean;
  /** Resolves after the handlers have seen the first complete list, or when the signal aborts (see `hasSynced`). */
  readonly synced: Promise<void>;
  /** Monotonic time of the last byte of a successful list or watch; `undefined` before the first. */
  readonly lastActivityMs: number | undefined;
  /** What the last failed attempt said; `undefined` while all is well. */
  readonly lastError: unknown;
  /** Begins to list and watch. Returns at once the promise that is `synced`. Call it once. */
  start(signal: AbortSignal): Promise<void>;
  /** Adds handlers; objects already known are told as added. @returns Removes them again. */
  subscribe(handlers: InformerHandlers<Kind>): () => void;
}
