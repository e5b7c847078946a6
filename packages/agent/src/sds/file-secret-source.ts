import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, type Log, sleep } from '@meltemi/base';
import { type FileSecretPlaces, parseFileSecretName } from './file-secret-name.ts';
import { FollowedFileSecret } from './followed-file-secret.ts';
import type { SecretSource } from './sds-server.ts';

/** What {@link createFileSecretSource} works with. */
export interface FileSecretOptions {
  /** What paths in names are below: `/` in a container. */
  readonly root: string;
  readonly clock: Clock;
  readonly log: Log;
  /** How long files rest after a change before they are read. @default 100 */
  readonly debounceMs?: number;
  /** How often the files are looked at. @default 1,000 */
  readonly intervalMs?: number;
  /** How many secrets are followed at most. @default 100 */
  readonly maxSecrets?: number;
}

const DEFAULT_DEBOUNCE_MS = 100;
const DEFAULT_INTERVAL_MS = 1000;
const DEFAULT_MAX_SECRETS = 100;

/**
 * Creates the source of secrets whose names speak of files. They are read when a stream wants them, and looked at as long as one
 * does.
 *
 * Files are looked at rather than watched: they may come later, and kubelets swap the links that lead to them.
 */
export function createFileSecretSource(options: FileSecretOptions): SecretSource & AsyncDisposable {
  return new FileSecretSource(options);
}

class FileSecretSource implements SecretSource, AsyncDisposable {
  readonly #options: Required<FileSecretOptions>;
  readonly #places: FileSecretPlaces;
  readonly #wantedBy = new Map<object, readonly string[]>();
  readonly #followed = new Map<string, FollowedFileSecret>();
  readonly #listeners = new Set<() => void>();
  readonly #stopped = new AbortController();
  /** Ends the pause between two looks. */
  #pause = new AbortController();
  #following: Promise<void> | undefined;
  #madeCount = 0;
  #isFull = false;

  constructor(options: FileSecretOptions) {
    this.#options = {
      debounceMs: DEFAULT_DEBOUNCE_MS,
      intervalMs: DEFAULT_INTERVAL_MS,
      maxSecrets: DEFAULT_MAX_SECRETS,
      ...options,
    };
    this.#places = { resolve: (path) => join(options.root, path), exists: existsSync };
  }

  current(): ReturnType<SecretSource['current']> {
    return [...this.#followed.values()].flatMap(({ resource }) => resource ?? []);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  want(stream: object, names: ReadonlySet<string>): void {
    const ofFiles = [...names].filter((name) => parseFileSecretName(name, this.#places) !== undefined);
    if (ofFiles.length > 0) this.#wantedBy.set(stream, ofFiles);
    else if (!this.#wantedBy.delete(stream)) return;
    const wanted = new Set([...this.#wantedBy.values()].flat());
    for (const name of this.#followed.keys()) if (!wanted.has(name)) this.#followed.delete(name);
    const isNew = [...wanted].filter((name) => this.#add(name)).length > 0;
    if (!isNew || this.#stopped.signal.aborted) return;
    this.#pause.abort();
    this.#following ??= this.#follow();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort();
    await this.#following;
  }

  #add(name: string): boolean {
    const files = parseFileSecretName(name, this.#places);
    if (files === undefined || this.#followed.has(name)) return false;
    const { maxSecrets, clock, log, debounceMs } = this.#options;
    const wasFull = this.#isFull;
    this.#isFull = this.#followed.size >= maxSecrets;
    if (this.#isFull) {
      if (!wasFull)
        log.warn('Cannot follow more secrets in files, the proxy waits for it', { name, limit: maxSecrets });
      return false;
    }
    const nextVersion = (): string => `${new Date(clock.nowMs()).toISOString()}/${(this.#madeCount += 1)}`;
    this.#followed.set(name, new FollowedFileSecret({ name, files, clock, log, debounceMs, nextVersion }));
    return true;
  }

  async #follow(): Promise<void> {
    const stopped = this.#stopped.signal;
    while (this.#followed.size > 0 && !stopped.aborted) {
      this.#pause = new AbortController();
      const changes = await Promise.all([...this.#followed.values()].map((secret) => secret.look(stopped)));
      if (changes.includes(true)) for (const listener of this.#listeners) listener();
      await sleep(this.#options.clock, this.#options.intervalMs, AbortSignal.any([stopped, this.#pause.signal]));
    }
    this.#following = undefined;
  }
}
