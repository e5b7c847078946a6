import { readFileSync } from 'node:fs';
import { type Clock, type ClockTimer, messageOf } from '@meltemi/base';
import type { KubeClient } from '@meltemi/kube';
import { type ManifestEntry, readMeshFile } from '@meltemi/local';
import { isMeshObject, waitForDistribution } from '../distribution.ts';
import { watchFiles } from './file-watch.ts';
import { displayPath } from './listed-files.ts';
import { ListedKeeper, type SyncResult, throwFaults } from './listed-keeper.ts';
import { listedName, readListedRecord, writeListedRecord } from './listed-record.ts';

/** How long the proxies get to acknowledge a change. */
const DISTRIBUTION_TIMEOUT_MS = 10_000;
/** When a server could not be reached, the files are looked at again after this long. */
const RETRY_MS = 2000;

/** A cluster and the files that `mesh.yaml` lists for it. */
export interface ListedCluster {
  readonly name: string;
  readonly client: KubeClient;
  readonly entries: readonly ManifestEntry[];
}

/** What {@link ListedEnvironment} is told. */
export interface ListedEnvironmentOptions {
  /** The environment's folder, which the record is kept in. */
  readonly directory: string;
  readonly meshFile: string;
  readonly clusters: readonly ListedCluster[];
  /** The cluster whose control plane distributes configuration, if there is a mesh. */
  readonly controlPlane: string | undefined;
  readonly clock: Clock;
  /** Told what was done. */
  readonly onDone: (message: string) => void;
  /** Told each fault, led by file and line. */
  readonly onFault: (message: string) => void;
}

/** Keeps all clusters of an environment as their listed files say, from the start to the end. Dispose it to end. */
export class ListedEnvironment implements AsyncDisposable {
  readonly #options: ListedEnvironmentOptions;
  readonly #keepers: readonly ListedKeeper[];
  #watch: Disposable | undefined;
  #retry: ClockTimer | undefined;
  #meshText = '';
  /** One look at the files at a time: the next waits for it. */
  #last: Promise<void> = Promise.resolve();
  #isEnded = false;

  constructor(options: ListedEnvironmentOptions) {
    this.#options = options;
    const record = readListedRecord(options.directory);
    this.#keepers = options.clusters.map(
      ({ name, client, entries }) =>
        new ListedKeeper({ cluster: name, client, entries, earlier: record.filter(({ cluster }) => cluster === name) }),
    );
  }

  /**
   * Applies everything for the first time.
   *
   * @returns What was applied, by cluster.
   * @throws MeltemiError when a file or an object is at fault.
   */
  async start(): Promise<readonly { readonly cluster: string; readonly result: SyncResult }[]> {
    this.#meshText = readFileSync(this.#options.meshFile, 'utf8');
    const results = await Promise.all(
      this.#keepers.map(async (keeper) => ({ cluster: keeper.cluster, result: await keeper.sync() })),
    );
    this.#record(results.map(({ result }) => result));
    for (const { result } of results) throwFaults(result);
    return results;
  }

  /** From now on a change of a file is applied. */
  watch(): void {
    const { clock, meshFile } = this.#options;
    const files = [...new Set([meshFile, ...this.#keepers.flatMap((keeper) => keeper.files)])];
    this.#watch = watchFiles({
      files,
      clock,
      onChange: (changed) => {
        if (changed.has(meshFile)) this.#lookAtMeshFile();
        if ([...changed].some((file) => file !== meshFile)) this.#enqueue();
      },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnded = true;
    this.#watch?.[Symbol.dispose]();
    this.#retry?.cancel();
    await this.#last;
  }

  #enqueue(): void {
    this.#last = this.#last.then(() => this.#syncAll());
  }

  async #syncAll(): Promise<void> {
    if (this.#isEnded) return;
    const { clock, onDone, onFault } = this.#options;
    const results = await Promise.all(this.#keepers.map((keeper) => keeper.sync()));
    try {
      this.#record(results);
    } catch (error) {
      onFault(`Cannot record the listed objects: ${messageOf(error)}`);
    }
    for (const result of results)
      for (const { object, outcome } of result.changes)
        if (outcome !== 'unchanged')
          onDone(`${displayPath(object.file)}:${object.line}: ${listedName(object)} ${outcome} in ${object.cluster}`);
    // A file that is listed for two clusters has its faults twice.
    for (const fault of new Set(results.flatMap((result) => result.faults))) onFault(fault);
    if (results.some((result) => result.shouldRetry)) {
      this.#retry?.cancel();
      this.#retry = clock.setTimer(() => this.#enqueue(), RETRY_MS);
    }
    // Not waited for here: the next change must not stand behind a proxy that is slow.
    void this.#awaitProxies(results);
  }

  async #awaitProxies(results: readonly SyncResult[]): Promise<void> {
    const { clock, controlPlane, clusters, onDone, onFault } = this.#options;
    const index = clusters.findIndex(({ name }) => name === controlPlane);
    const cluster = clusters[index];
    const written = (results[index]?.written ?? []).filter(({ object }) => isMeshObject(object));
    if (cluster === undefined || written.length === 0) return;
    try {
      await waitForDistribution({ controlPlane: cluster }, written, DISTRIBUTION_TIMEOUT_MS, () => clock.nowMs());
      onDone('every affected proxy has acknowledged');
    } catch (error) {
      if (!this.#isEnded) onFault(messageOf(error));
    }
  }

  /** What mesh.yaml says beyond the listed files is read at the start only. */
  #lookAtMeshFile(): void {
    const { meshFile, onDone, onFault } = this.#options;
    try {
      const text = readFileSync(meshFile, 'utf8');
      if (text === this.#meshText) return;
      this.#meshText = text;
      readMeshFile(meshFile);
      onDone(`${displayPath(meshFile)} has changed: stop with Ctrl-C and start again for it to take effect`);
    } catch (error) {
      onFault(messageOf(error));
    }
  }

  #record(results: readonly SyncResult[]): void {
    writeListedRecord(
      this.#options.directory,
      results.flatMap((result) => result.objects),
    );
  }
}
