import { resolve } from 'node:path';
import { MeltemiError, messageOf, stableJson } from '@meltemi/base';
import { isNotFound, type KubeClient, KubeError, type KubeObject } from '@meltemi/kube';
import type { ManifestEntry } from '@meltemi/local';
import { describeApiError } from '../api-error.ts';
import { groupByRank } from '../apply-objects.ts';
import type { WrittenChange } from '../distribution.ts';
import { KindsCatalog } from '../kinds-catalog.ts';
import type { ManifestObject } from '../manifest.ts';
import { ListedFileReader, type ListedManifest } from './listed-files.ts';
import { type ListedObject, listedKey, listedName, refOf } from './listed-record.ts';

const FIELD_MANAGER = 'meltemi-up';

/** What {@link ListedKeeper} is told. */
export interface ListedKeeperOptions {
  readonly cluster: string;
  readonly client: KubeClient;
  readonly entries: readonly ManifestEntry[];
  /** What an earlier run has put into the cluster; what of it is no longer listed is deleted at the first look. */
  readonly earlier: readonly ListedObject[];
}

/** What one look at the files has led to. */
export interface SyncResult {
  /** `created`, `configured`, `unchanged` or `deleted`, by object. */
  readonly changes: readonly { readonly object: ListedObject; readonly outcome: string }[];
  /** What the proxies must learn of. */
  readonly written: readonly WrittenChange[];
  /** One line for each fault, led by file and line. */
  readonly faults: readonly string[];
  /** Some fault may pass by itself: the server could not be reached. */
  readonly shouldRetry: boolean;
  /** All objects of the files now. */
  readonly objects: readonly ListedObject[];
}

interface Wanted {
  readonly listed: ListedObject;
  readonly object: KubeObject;
  readonly manifest: ManifestObject;
  /** The object's content, to tell whether the file changed anything. */
  readonly content: string;
}

/** Keeps the objects of one cluster as its listed files say. Calls must not overlap. */
export class ListedKeeper {
  readonly #options: ListedKeeperOptions;
  readonly #reader: ListedFileReader;
  /** What is in the cluster on behalf of the files; the content is unknown for objects of an earlier run. */
  readonly #kept = new Map<string, { readonly listed: ListedObject; readonly content: string | undefined }>();

  constructor(options: ListedKeeperOptions) {
    this.#options = options;
    this.#reader = new ListedFileReader(options.entries);
    for (const listed of options.earlier)
      this.#kept.set(listedKey(listed.ref, listed.namespace, listed.name), { listed, content: undefined });
  }

  get cluster(): string {
    return this.#options.cluster;
  }

  get client(): KubeClient {
    return this.#options.client;
  }

  get files(): readonly string[] {
    return this.#reader.files;
  }

  /** Reads the files, applies what changed and deletes what is gone from them. Never throws for a file or an object. */
  async sync(): Promise<SyncResult> {
    const { objects, problems } = this.#reader.read();
    const faults = [...problems];
    const changes: { object: ListedObject; outcome: string }[] = [];
    const written: WrittenChange[] = [];
    /** Files that say something that cannot be done: what is missing from them may be part of the mistake. */
    const faultyFiles = new Set<string>();
    let shouldRetry = false;
    const attempt = async (
      body: () => Promise<void>,
      describe: (error: unknown) => string,
      file?: string,
    ): Promise<void> => {
      try {
        await body();
      } catch (error) {
        faults.push(describe(error));
        if (file !== undefined) faultyFiles.add(file);
        shouldRetry ||= error instanceof KubeError && (error.statusCode === 0 || error.statusCode >= 500);
      }
    };

    const wanted = new Map<string, Wanted>();
    for (const group of groupByRank(objects, ({ manifest }) => manifest.object)) {
      let catalog: KindsCatalog | undefined;
      await attempt(
        async () => {
          // Anew for each group: definitions of the group before may have added kinds.
          catalog = await KindsCatalog.read(this.#options.client);
        },
        (error) => `Cannot read the kinds of ${this.cluster}: ${messageOf(error)}`,
      );
      // Without the kinds nothing is known of any object; what there is stays.
      if (catalog === undefined) return this.#result(changes, written, faults, shouldRetry);
      const known = catalog;
      const fresh = group.flatMap((entry) => {
        const item = this.#want(known, entry, wanted);
        if (typeof item === 'object') return [item];
        if (item !== undefined) {
          faults.push(item);
          faultyFiles.add(resolve(entry.manifest.file));
        }
        return [];
      });
      await Promise.all(
        fresh.map((item) =>
          attempt(
            async () => {
              const outcome = await this.#apply(item);
              changes.push({ object: item.listed, outcome });
              if (outcome !== 'unchanged') written.push({ object: item.object, deleted: false });
            },
            (error) => describeApiError(error, item.manifest),
            item.listed.file,
          ),
        ),
      );
    }
    for (const [key, { listed }] of this.#kept) {
      if (wanted.has(key) || faultyFiles.has(listed.file)) continue;
      await attempt(
        async () => {
          await this.#delete(listed);
          this.#kept.delete(key);
          changes.push({ object: listed, outcome: 'deleted' });
          written.push({ object: toKubeObject(listed), deleted: true });
        },
        (error) => `Cannot delete ${listedName(listed)}, which is gone from ${listed.file}: ${messageOf(error)}`,
      );
    }
    return this.#result(changes, written, faults, shouldRetry);
  }

  /** Enters an object among those wanted. @returns It, when its file says something new of it; or its fault. */
  #want(
    catalog: KindsCatalog,
    { manifest, defaultNamespace, isStale }: ListedManifest,
    wanted: Map<string, Wanted>,
  ): Wanted | string | undefined {
    const { object, file, line } = manifest;
    const entry = catalog.byObject(object.apiVersion, object.kind);
    if (entry === undefined) {
      const near = catalog.nearest(object.apiVersion, object.kind);
      return `${file}:${manifest.lineOf('kind')}: unknown kind ${object.kind} in ${object.apiVersion}${near === undefined ? '' : `; did you mean ${near}?`}`;
    }
    const namespace = entry.ref.namespaced ? (object.metadata.namespace ?? defaultNamespace) : undefined;
    const { group, version, plural, kind, namespaced } = entry.ref;
    const listed: ListedObject = {
      cluster: this.cluster,
      ref: { group, version, plural, kind, namespaced },
      namespace,
      name: object.metadata.name,
      file: resolve(file),
      line,
    };
    const key = listedKey(listed.ref, namespace, listed.name);
    const other = wanted.get(key);
    if (other !== undefined) {
      return `${file}:${line}: ${listedName(listed)} is also in ${other.manifest.file}:${other.manifest.line}, which is the one that counts; remove one of them`;
    }
    const complete: KubeObject = {
      ...object,
      metadata: { ...object.metadata, ...(namespace === undefined ? {} : { namespace }) },
    };
    const item: Wanted = { listed, object: complete, manifest, content: stableJson(complete) };
    wanted.set(key, item);
    const kept = this.#kept.get(key);
    if (kept?.content !== item.content && !isStale) return item;
    if (kept === undefined) return undefined;
    // The same object may have moved to another line or file.
    this.#kept.set(key, { ...kept, listed });
    return undefined;
  }

  async #apply({ listed, object, content }: Wanted): Promise<string> {
    const { client } = this.#options;
    const ref = refOf(listed);
    const before = await client.find(ref, { name: listed.name, namespace: listed.namespace });
    const after = await client.apply(ref, object, { fieldManager: FIELD_MANAGER, fieldValidation: 'Strict' });
    this.#kept.set(listedKey(listed.ref, listed.namespace, listed.name), { listed, content });
    if (before === undefined) return 'created';
    return before.metadata.resourceVersion === after.metadata.resourceVersion ? 'unchanged' : 'configured';
  }

  async #delete(listed: ListedObject): Promise<void> {
    const { name, namespace } = listed;
    try {
      await this.#options.client.delete(refOf(listed), { name, namespace }, { propagationPolicy: 'Background' });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  #result(
    changes: SyncResult['changes'],
    written: SyncResult['written'],
    faults: readonly string[],
    shouldRetry: boolean,
  ): SyncResult {
    return { changes, written, faults, shouldRetry, objects: [...this.#kept.values()].map(({ listed }) => listed) };
  }
}

function toKubeObject({ ref, name, namespace }: ListedObject): KubeObject {
  return {
    apiVersion: ref.group === '' ? ref.version : `${ref.group}/${ref.version}`,
    kind: ref.kind,
    metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
  };
}

/** @throws MeltemiError with all faults, when there is one. */
export function throwFaults({ faults }: SyncResult): void {
  if (faults.length > 0) throw new MeltemiError('FAILED', faults.join('\n'));
}
