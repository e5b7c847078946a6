import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { type Clock, systemClock } from '@meltemi/base';
import type { ClusterAccess } from './cluster-access.ts';
import { isExpired, isNotFound, KubeError } from './errors.ts';
import { openExec } from './exec.ts';
import { findMissingRight, type MissingRight } from './forbidden.ts';
import type { TokenRequest } from './kinds/authentication.ts';
import { apiVersionOf, keyText, PODS, resourcePath, SERVICE_ACCOUNTS, TOKEN_REVIEWS } from './resources.ts';
import { selectQuery } from './select-query.ts';
import { answerToError } from './status-error.ts';
import { createTransport, type Transport } from './transport.ts';
import type {
  ApplyOptions,
  CallOptions,
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
  RawRequest,
  RawResponse,
  RawStream,
  ResourceRef,
  TokenRequestOptions,
  TokenReviewResult,
  WatchEvent,
  WatchOptions,
  WriteOptions,
} from './types.ts';
import { watchResource } from './watch.ts';

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_PAGE_SIZE = 500;

const PATCH_CONTENT_TYPES: Readonly<Record<KubePatch['type'], string>> = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
};

/** What a client is made of. */
export interface KubeClientOptions {
  readonly access: ClusterAccess;
  /** Default: the machine's. */
  readonly clock?: Clock;
  /** Default `meltemi`. Shows up in audit logs. */
  readonly userAgent?: string;
  /** Told each time that the API server refuses something for lack of a right, besides the call's own failure. */
  readonly onMissingRight?: (right: MissingRight) => void;
}

function headersOf(answer: IncomingMessage): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(answer.headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(', ') : String(value),
    ]),
  );
}

/** `299 - "text"`, as in RFC 7234 5.5; the text may hold escaped quotes. */
function parseWarnings(header: string | undefined): readonly string[] {
  return [...(header ?? '').matchAll(/\d{3} \S+ "((?:[^"\\]|\\.)*)"/g)].map(([, text]) =>
    (text as string).replace(/\\(.)/g, '$1'),
  );
}

function writeQuery(options: WriteOptions): Readonly<Record<string, string | undefined>> {
  return {
    dryRun: options.dryRun === true ? 'All' : undefined,
    fieldManager: options.fieldManager,
    fieldValidation: options.fieldValidation,
  };
}

/** The client of one cluster. Construction does no I/O; dispose of it to close its connections. */
class HttpKubeClient implements KubeClient {
  readonly server: string;
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #onMissingRight: KubeClientOptions['onMissingRight'];

  constructor({ access, clock = systemClock, userAgent = 'meltemi', onMissingRight }: KubeClientOptions) {
    this.#onMissingRight = onMissingRight;
    this.server = access.server;
    this.#clock = clock;
    this.#transport = createTransport({ access, clock, userAgent });
  }

  get<Kind extends KubeObject>(ref: ResourceRef<Kind>, key: ObjectKey, options: CallOptions = {}): Promise<Kind> {
    return this.#call(`get ${ref.plural} ${keyText(key)}`, { method: 'GET', path: resourcePath(ref, key), ...options });
  }

  async find<Kind extends KubeObject>(
    ref: ResourceRef<Kind>,
    key: ObjectKey,
    options?: CallOptions,
  ): Promise<Kind | undefined> {
    try {
      return await this.get(ref, key, options);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async list<Kind extends KubeObject>(
    ref: ResourceRef<Kind>,
    options: ListOptions<Kind> = {},
  ): Promise<KubeList<Kind>> {
    try {
      return await this.#listPages(ref, options);
    } catch (error) {
      // So much is changing, or the server is so slow, that the pages' version is gone before the last one: all at once.
      if (options.pageSize === 0 || !isExpired(error)) throw error;
      return this.#listPages(ref, { ...options, pageSize: 0 });
    }
  }

  async #listPages<Kind extends KubeObject>(
    ref: ResourceRef<Kind>,
    options: ListOptions<Kind>,
  ): Promise<KubeList<Kind>> {
    const { namespace, labelSelector, fieldSelector, pageSize = DEFAULT_PAGE_SIZE, resourceVersion, ...rest } = options;
    const { transform = (item: Kind) => item, ...call } = rest;
    const items: Kind[] = [];
    let next: string | undefined;
    for (;;) {
      const query = selectQuery({
        labelSelector,
        fieldSelector,
        limit: pageSize === 0 ? undefined : pageSize,
        // A continued list must not name a version: the token holds it.
        resourceVersion: next === undefined ? resourceVersion : undefined,
        continue: next,
      });
      const path = resourcePath(ref, { namespace }) + query;
      const page = await this.#call<KubeList<Kind>>(`list ${ref.plural}`, { method: 'GET', path, ...call });
      // Items of a typed list carry neither field; callers should not have to know.
      const typeMeta = { apiVersion: apiVersionOf(ref), kind: ref.kind };
      for (const item of page.items ?? []) items.push(transform({ ...typeMeta, ...item }));
      next = page.metadata.continue;
      if (next === undefined || next === '') return { ...page, items };
    }
  }

  create<Kind extends KubeObject>(
    ref: ResourceRef<Kind>,
    object: NewObject<Kind>,
    options: WriteOptions = {},
  ): Promise<Kind> {
    const { name, generateName, namespace } = object.metadata;
    const path = resourcePath(ref, { namespace }) + selectQuery(writeQuery(options));
    const action = `create ${ref.plural} ${keyText({ namespace, name: name ?? `${generateName}*` })}`;
    return this.#write(action, { method: 'POST', path, body: object }, options);
  }

  update<Kind extends KubeObject>(ref: ResourceRef<Kind>, object: Kind, options: WriteOptions = {}): Promise<Kind> {
    const path = resourcePath(ref, object.metadata, options.subresource) + selectQuery(writeQuery(options));
    return this.#write(
      `update ${ref.plural} ${keyText(object.metadata)}`,
      { method: 'PUT', path, body: object },
      options,
    );
  }

  patch<Kind extends KubeObject>(
    ref: ResourceRef<Kind>,
    key: ObjectKey,
    patch: KubePatch,
    options: WriteOptions = {},
  ): Promise<Kind> {
    const path = resourcePath(ref, key, options.subresource) + selectQuery(writeQuery(options));
    const contentType = PATCH_CONTENT_TYPES[patch.type];
    return this.#write(
      `patch ${ref.plural} ${keyText(key)}`,
      { method: 'PATCH', path, body: patch.body, contentType },
      options,
    );
  }

  apply<Kind extends KubeObject>(
    ref: ResourceRef<Kind>,
    object: NewObject<Kind>,
    options: ApplyOptions,
  ): Promise<Kind> {
    const query = selectQuery({ ...writeQuery(options), force: options.force ?? true });
    const path = resourcePath(ref, object.metadata, options.subresource) + query;
    // Every JSON text is YAML, which is what the server wants to be told.
    const contentType = 'application/apply-patch+yaml';
    const name = object.metadata.name ?? '';
    const action = `apply ${ref.plural} ${keyText({ namespace: object.metadata.namespace, name })}`;
    return this.#write(action, { method: 'PATCH', path, body: object, contentType }, options);
  }

  delete<Kind extends KubeObject>(
    ref: ResourceRef<Kind>,
    key: ObjectKey,
    options: DeleteOptions = {},
  ): Promise<KubeStatus | Kind> {
    const { propagationPolicy, gracePeriodSeconds, uid, dryRun, ...call } = options;
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      propagationPolicy,
      gracePeriodSeconds,
      preconditions: uid === undefined ? undefined : { uid },
      dryRun: dryRun === true ? ['All'] : undefined,
    };
    const path = resourcePath(ref, key);
    return this.#write(`delete ${ref.plural} ${keyText(key)}`, { method: 'DELETE', path, body }, call);
  }

  createSubresource<Answer>(
    ref: ResourceRef,
    key: ObjectKey,
    subresource: string,
    body: unknown,
    options: CallOptions = {},
  ): Promise<Answer> {
    const path = resourcePath(ref, key, subresource);
    return this.#write(
      `create ${subresource} of ${ref.plural} ${keyText(key)}`,
      { method: 'POST', path, body },
      options,
    );
  }

  async createToken(serviceAccount: ObjectKey, options: TokenRequestOptions = {}): Promise<IssuedToken> {
    const { audiences, expirationSeconds, boundObject, ...call } = options;
    const body = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { audiences, expirationSeconds, boundObjectRef: boundObject },
    };
    const answer = await this.createSubresource<TokenRequest>(SERVICE_ACCOUNTS, serviceAccount, 'token', body, call);
    if (answer.status === undefined) {
      throw new KubeError(`Cannot create token of ${keyText(serviceAccount)}: the answer holds none`, {
        statusCode: 200,
      });
    }
    const { token, expirationTimestamp } = answer.status;
    return { token, expirationUnixMs: Date.parse(expirationTimestamp) };
  }

  async reviewToken(
    review: { readonly token: string; readonly audiences?: readonly string[] },
    options?: CallOptions,
  ): Promise<TokenReviewResult> {
    const { status } = await this.create(
      TOKEN_REVIEWS,
      { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', metadata: {}, spec: review },
      options,
    );
    return {
      authenticated: status?.authenticated === true,
      ...(status?.user?.username === undefined ? {} : { username: status.user.username }),
      ...(status?.user?.uid === undefined ? {} : { uid: status.user.uid }),
      groups: status?.user?.groups ?? [],
      extra: status?.user?.extra ?? {},
      audiences: status?.audiences ?? [],
      ...(status?.error === undefined ? {} : { error: status.error }),
    };
  }

  watch<Kind extends KubeObject>(ref: ResourceRef<Kind>, options?: WatchOptions): AsyncIterable<WatchEvent<Kind>> {
    const onRefusal = (error: KubeError): void => void this.#note(error);
    return watchResource({ transport: this.#transport, clock: this.#clock, onRefusal }, ref, options);
  }

  async request(request: RawRequest): Promise<RawResponse> {
    const timeoutMs = request.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const startedMs = this.#clock.monotonicMs();
    const answer = await this.#transport.open({ ...request, timeoutMs }, { stream: false });
    const remainingMs = Math.max(1, timeoutMs - (this.#clock.monotonicMs() - startedMs));
    const timer = this.#clock.setTimer(() => {
      answer.destroy(new Error(`the answer did not end within ${timeoutMs} ms`));
    }, remainingMs);
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk);
      return {
        status: answer.statusCode ?? 0,
        headers: headersOf(answer),
        body: Buffer.concat(chunks).toString('utf8'),
      };
    } catch (error) {
      request.signal?.throwIfAborted();
      throw new KubeError(`Cannot read the answer of ${this.server}`, { statusCode: 0, cause: error });
    } finally {
      timer.cancel();
    }
  }

  async stream(request: RawRequest): Promise<RawStream> {
    const answer = await this.#transport.open(request, { stream: true });
    return { status: answer.statusCode ?? 0, headers: headersOf(answer), body: answer };
  }

  async logs(pod: ObjectKey, options: LogsOptions = {}): Promise<Readable> {
    const { signal, ...query } = options;
    const path = resourcePath(PODS, pod, 'log') + selectQuery(query);
    const { status, body } = await this.stream({ method: 'GET', path, signal, headers: { accept: '*/*' } });
    if (status === 200) return body;
    const text = await body.setEncoding('utf8').toArray();
    throw answerToError(`read logs of ${keyText(pod)}`, { statusCode: status, body: text.join('') });
  }

  exec(options: ExecOptions): ExecSession {
    return openExec(this.#transport, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transport[Symbol.asyncDispose]();
  }

  #note(error: KubeError): KubeError {
    const right = this.#onMissingRight === undefined ? undefined : findMissingRight(error);
    if (right !== undefined) this.#onMissingRight?.(right);
    return error;
  }

  #write<Answer>(
    action: string,
    request: { readonly method: string; readonly path: string; readonly body: unknown; readonly contentType?: string },
    options: WriteOptions,
  ): Promise<Answer> {
    const headers = { 'content-type': request.contentType ?? 'application/json' };
    const { signal, timeoutMs } = options;
    return this.#call(
      action,
      { method: request.method, path: request.path, headers, body: JSON.stringify(request.body), signal, timeoutMs },
      options.onWarning,
    );
  }

  async #call<Answer>(action: string, request: RawRequest, onWarning?: (text: string) => void): Promise<Answer> {
    const { status, headers, body } = await this.request(request);
    if (status < 200 || status > 299) {
      throw this.#note(answerToError(action, { statusCode: status, body, retryAfter: headers['retry-after'] }));
    }
    if (onWarning !== undefined) for (const text of parseWarnings(headers['warning'])) onWarning(text);
    try {
      // What the API serves under this path is of the kind that was asked for.
      return JSON.parse(body) as Answer;
    } catch (error) {
      throw new KubeError(`Cannot ${action}: the answer is not JSON`, { statusCode: status, cause: error });
    }
  }
}

/** Creates the client of one cluster. It does no I/O until it is used; dispose of it to close its connections. */
export function createKubeClient(options: KubeClientOptions): KubeClient {
  return new HttpKubeClient(options);
}
