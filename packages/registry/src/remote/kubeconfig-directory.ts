import { type FSWatcher, watch } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, type Log, messageOf, sha256Hex, sleep } from '@meltemi/base';
import { readContexts } from '@meltemi/kube';
import { MAX_KUBECONFIG_BYTES, MAX_REMOTE_CLUSTERS } from '../defaults.ts';
import type { RemoteHolder, RemoteSource } from './remote-source.ts';

/** Pause after the last change of the directory before it is read: a mount changes file by file. */
const DEBOUNCE_MS = 100;
/** The directory is read this often whatever it says: not every file system tells of changes. */
const REREAD_MS = 30_000;

/** What {@link createKubeconfigDirectory} reads. */
export interface KubeconfigDirectoryOptions {
  readonly directory: string;
  readonly clock: Clock;
  readonly log: Log;
}

interface KnownFile {
  readonly hash: string;
  readonly holder: RemoteHolder;
}

/**
 * Remote clusters by a directory of kubeconfigs, one cluster for each `.yaml` or `.yml` file: the cluster that the
 * file's current context names, else that of its first context by name.
 *
 * @see Istio, pkg/kube/multicluster/kubeconfig_files.go
 */
export function createKubeconfigDirectory(options: KubeconfigDirectoryOptions): RemoteSource {
  return new KubeconfigDirectory(options);
}

class KubeconfigDirectory implements RemoteSource {
  readonly #options: KubeconfigDirectoryOptions;
  readonly #files = new Map<string, KnownFile>();
  /** What was last said about a file, so that it is said once. */
  readonly #problems = new Map<string, string>();
  #watcher: FSWatcher | undefined;
  /** Aborted by a change that has not been read yet. */
  #woken = new AbortController();

  constructor(options: KubeconfigDirectoryOptions) {
    this.#options = options;
  }

  holders(): readonly RemoteHolder[] {
    return [...this.#files.values()].map(({ holder }) => holder).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  async start(listener: Parameters<RemoteSource['start']>[0], signal: AbortSignal): Promise<void> {
    // Watched before it is read: what changes meanwhile is read again.
    this.#watch();
    await this.#read(listener);
    // Never rejects: what goes wrong is logged, and tried again.
    void this.#follow(listener, signal);
  }

  async #follow(listener: Parameters<RemoteSource['start']>[0], signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      this.#watch();
      await sleep(clock, REREAD_MS, AbortSignal.any([this.#woken.signal, signal]));
      if (this.#woken.signal.aborted) await sleep(clock, DEBOUNCE_MS, signal);
      // Before the directory is read: what changes meanwhile is read again.
      this.#woken = new AbortController();
      if (!signal.aborted) await this.#read(listener);
    }
    this.#watcher?.close();
  }

  /** Kubelets swap a whole mount by renaming the link `..data` in the directory, so the directory is watched, not its files. */
  #watch(): void {
    if (this.#watcher !== undefined) return;
    try {
      const watcher = watch(this.#options.directory, () => this.#woken.abort());
      watcher.unref();
      watcher.on('error', () => {
        watcher.close();
        this.#watcher = undefined;
      });
      this.#watcher = watcher;
    } catch {
      // Not there yet: reading has said so, and is tried again.
    }
  }

  async #read(listener: Parameters<RemoteSource['start']>[0]): Promise<void> {
    const { directory } = this.#options;
    let names: string[];
    try {
      names = (await readdir(directory)).filter((name) => /^[^.].*\.ya?ml$/.test(name)).toSorted();
      this.#problems.delete(directory);
    } catch (error) {
      // What was read before serves on: a mount that is gone for a moment detaches nobody.
      this.#complain(directory, messageOf(error));
      return;
    }
    for (const [path, { holder }] of this.#files) {
      if (names.some((name) => join(directory, name) === path)) continue;
      this.#files.delete(path);
      this.#problems.delete(path);
      listener('delete', holder);
    }
    if (names.length > MAX_REMOTE_CLUSTERS)
      this.#complain(directory, `it has ${names.length} files, of which the first ${MAX_REMOTE_CLUSTERS} are read`);
    for (const name of names.slice(0, MAX_REMOTE_CLUSTERS)) await this.#readFile(join(directory, name), listener);
  }

  async #readFile(path: string, listener: Parameters<RemoteSource['start']>[0]): Promise<void> {
    try {
      const { size } = await stat(path);
      if (size > MAX_KUBECONFIG_BYTES) throw new Error(`it has more than ${MAX_KUBECONFIG_BYTES} bytes`);
      const text = await readFile(path, 'utf8');
      const hash = sha256Hex(text);
      const known = this.#files.get(path);
      if (known?.hash === hash) return;
      const holder = toHolder(path, text);
      this.#files.set(path, { hash, holder });
      this.#problems.delete(path);
      listener(known === undefined ? 'add' : 'update', holder);
    } catch (error) {
      this.#complain(path, messageOf(error));
    }
  }

  #complain(path: string, error: string): void {
    if (this.#problems.get(path) === error) return;
    this.#problems.set(path, error);
    this.#options.log.warn('Cannot read kubeconfigs of remote clusters; what was read before stays in force', {
      path,
      error,
    });
  }
}

function toHolder(path: string, text: string): RemoteHolder {
  const { current, contexts } = readContexts(text);
  const chosen =
    contexts.find(({ name, cluster }) => name === current && cluster !== '') ??
    contexts.filter(({ cluster }) => cluster !== '').toSorted((a, b) => (a.name < b.name ? -1 : 1))[0];
  if (chosen === undefined)
    throw new Error('it is no kubeconfig with a context that names a cluster; the cluster is known by that name');
  return { name: path, kubeconfigs: new Map([[chosen.cluster, { text, context: chosen.name }]]) };
}
