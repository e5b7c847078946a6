import { Worker } from 'node:worker_threads';
import { type Clock, type Log, MeltemiError, messageOf, setYoungHeapOfThreads } from '@meltemi/base';
import type {
  ClusterReport,
  ConfigProblem,
  ConfigUpdate,
  DrainScope,
  MainMessage,
  WorkerInit,
  WorkerMessage,
} from '../config/messages.ts';
import { createWorkerStats, type WorkerStats } from './worker-stats.ts';

/** Settings of {@link createWorkerPool}. */
export interface WorkerPoolOptions {
  readonly count: number;
  /** The worker's entry module. */
  readonly entry: URL;
  readonly init: Omit<WorkerInit, 'workerIndex'>;
  readonly log: Log;
  readonly clock: Clock;
  /** Called once when a worker ends by itself: the process must not go on with fewer. */
  readonly onFatal: (error: Error) => void;
}

/** What a request leaves behind dies at once: beyond this, a larger young generation costs memory and saves no time. */
const YOUNG_HEAP_MB = 4;

/** A change of configuration without its revision, which the pool counts. */
export type ConfigChange = Omit<ConfigUpdate, 'revision'>;

/** The threads that carry traffic. */
export interface WorkerPool extends AsyncDisposable {
  readonly count: number;
  /** Resolves when every worker is ready for configuration. */
  start(): Promise<void>;
  /** Posts a change to every worker; resolves when all of them run it, with what any of them could not put into effect. */
  apply(change: ConfigChange): Promise<readonly ConfigProblem[]>;
  broadcast(message: MainMessage): void;
  /** Each worker's view of the hosts. */
  describeClusters(): Promise<readonly (readonly ClusterReport[])[]>;
  /** Resolves when no connection is left on the listeners of the scope, in all workers. */
  drained(scope: DrainScope): Promise<void>;
  readonly stats: WorkerStats;
}

const READY_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 5000;

/** Creates the pool; threads start with {@link WorkerPool.start}. */
export function createWorkerPool(options: WorkerPoolOptions): WorkerPool {
  return new ThreadPool(options);
}

interface Thread {
  readonly index: number;
  readonly worker: Worker;
  readonly exited: Promise<void>;
}

/** Waits for one answer of each worker. */
interface Gathering<Answer> {
  readonly answers: Map<number, Answer>;
  readonly resolve: (answers: Answer[]) => void;
  readonly reject: (error: Error) => void;
}

class ThreadPool implements WorkerPool {
  readonly count: number;
  readonly stats: WorkerStats = createWorkerStats();
  readonly #options: WorkerPoolOptions;
  readonly #threads: Thread[] = [];
  readonly #ready = Promise.withResolvers<void>();
  readonly #readyIndexes = new Set<number>();
  readonly #applying = new Map<number, Gathering<readonly ConfigProblem[]>>();
  readonly #describing = new Map<number, Gathering<readonly ClusterReport[]>>();
  readonly #drainedIndexes: Readonly<Record<DrainScope, Set<number>>> = { all: new Set(), inbound: new Set() };
  readonly #drained: Readonly<Record<DrainScope, PromiseWithResolvers<void>>> = {
    all: Promise.withResolvers<void>(),
    inbound: Promise.withResolvers<void>(),
  };
  #revision = 0;
  #requestId = 0;
  #isStopping = false;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    this.count = options.count;
    // Nobody may be waiting when a worker dies early; onFatal tells it then.
    this.#ready.promise.catch(() => {});
  }

  async start(): Promise<void> {
    for (let index = 0; index < this.count; index += 1) this.#startThread(index);
    const deadline = this.#options.clock.setTimer(() => {
      this.#ready.reject(
        new MeltemiError('PROXY_WORKER_SLOW', `Cannot start the workers: not ready in ${READY_TIMEOUT_MS} ms`),
      );
    }, READY_TIMEOUT_MS);
    try {
      await this.#ready.promise;
    } finally {
      deadline.cancel();
    }
  }

  apply(change: ConfigChange): Promise<readonly ConfigProblem[]> {
    this.#revision += 1;
    const revision = this.#revision;
    return this.#gather(this.#applying, revision, { type: 'config', update: { revision, ...change } }).then(
      (problems) => problems.flat(),
    );
  }

  broadcast(message: MainMessage): void {
    for (const { worker } of this.#threads) worker.postMessage(message);
  }

  describeClusters(): Promise<readonly (readonly ClusterReport[])[]> {
    this.#requestId += 1;
    const requestId = this.#requestId;
    return this.#gather(this.#describing, requestId, { type: 'describe_clusters', requestId });
  }

  drained(scope: DrainScope): Promise<void> {
    return this.#drained[scope].promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true;
    this.broadcast({ type: 'stop' });
    const stopped = Promise.all(this.#threads.map(({ exited }) => exited));
    const deadline = this.#options.clock.setTimer(() => {
      this.#options.log.warn('workers did not stop in time', { timeoutMs: STOP_TIMEOUT_MS });
      for (const { worker } of this.#threads) void worker.terminate();
    }, STOP_TIMEOUT_MS);
    await stopped;
    deadline.cancel();
  }

  #gather<Answer>(into: Map<number, Gathering<Answer>>, id: number, message: MainMessage): Promise<Answer[]> {
    if (this.#isStopping) return Promise.resolve([]);
    const { promise, resolve, reject } = Promise.withResolvers<Answer[]>();
    into.set(id, { answers: new Map(), resolve, reject });
    this.broadcast(message);
    return promise;
  }

  #startThread(index: number): void {
    setYoungHeapOfThreads(YOUNG_HEAP_MB);
    const worker = new Worker(this.#options.entry, {
      workerData: { workerIndex: index, ...this.#options.init } satisfies WorkerInit,
      name: `worker_${index}`,
    });
    const exited = new Promise<void>((resolve) => {
      worker.once('exit', (code) => {
        this.#onExit(index, new MeltemiError('PROXY_WORKER_GONE', `Worker ${index} ended with code ${code}`));
        resolve();
      });
    });
    worker.on('message', (message: WorkerMessage) => this.#onMessage(index, message));
    worker.on('error', (error) => {
      this.#onExit(
        index,
        new MeltemiError('PROXY_WORKER_GONE', `Worker ${index} failed: ${messageOf(error)}`, { cause: error }),
      );
    });
    this.#threads.push({ index, worker, exited });
  }

  #onExit(index: number, error: Error): void {
    for (const gatherings of [this.#applying, this.#describing]) {
      for (const gathering of gatherings.values()) {
        if (this.#isStopping) gathering.resolve([]);
        else gathering.reject(error);
      }
      gatherings.clear();
    }
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.#ready.reject(error);
    this.#options.log.error('worker is gone', { worker: index, error });
    this.#options.onFatal(error);
  }

  #onMessage(index: number, message: WorkerMessage): void {
    switch (message.type) {
      case 'ready':
        this.#readyIndexes.add(index);
        if (this.#readyIndexes.size === this.count) this.#ready.resolve();
        return;
      case 'applied':
        this.#answer(this.#applying, message.revision, index, message.problems);
        return;
      case 'clusters':
        this.#answer(this.#describing, message.requestId, index, message.clusters);
        return;
      case 'stat_page':
        this.stats.addPage(index, message.page, message.cells);
        return;
      case 'stat_definitions':
        this.stats.addDefinitions(index, message.definitions);
        return;
      case 'host_ejection':
        for (const thread of this.#threads) if (thread.index !== index) thread.worker.postMessage(message);
        return;
      case 'drained': {
        const indexes = this.#drainedIndexes[message.scope];
        indexes.add(index);
        if (indexes.size === this.count) this.#drained[message.scope].resolve();
        return;
      }
      case 'log':
        this.#options.log.scope(message.scope)[message.level](message.message, message.fields);
    }
  }

  #answer<Answer>(gatherings: Map<number, Gathering<Answer>>, id: number, index: number, answer: Answer): void {
    const gathering = gatherings.get(id);
    if (gathering === undefined) return;
    gathering.answers.set(index, answer);
    if (gathering.answers.size < this.count) return;
    gatherings.delete(id);
    gathering.resolve([...gathering.answers.values()]);
  }
}
