import type { Log, Random } from '@meltemi/base';
import { messageOf, stableJson } from '@meltemi/base/pure';
import type {
  ClusterReport,
  ConfigProblem,
  ConfigUpdate,
  DrainScope,
  HostEjection,
  ResourceDelta,
  RuntimeCluster,
  RuntimeEndpoints,
  RuntimeRouteConfig,
  WorkerInit,
} from '../config/runtime-config.ts';
import { RouteTable } from '../decide/route-table.ts';
import type { AccessLogSink } from '../filters/access-log/access-log.ts';
import type { ProxyContext } from '../filters/http/proxy-context.ts';
import { ClientSources } from '../network/client-source.ts';
import { ListenerManager } from '../network/listener-manager.ts';
import type { Timers } from '../network/timers.ts';
import { type StatsListener, StatsStore } from '../stats/stats-store.ts';
import { SecretStore } from '../tls/secret-store.ts';
import { Cluster, type ClusterContext } from '../upstream/cluster.ts';
import { createOutlierEventLog } from '../upstream/outlier-event-log.ts';

/** What a data plane is made of. */
export interface DataPlaneOptions {
  readonly init: WorkerInit;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly accessLogs: AccessLogSink;
  readonly statsListener: StatsListener;
  /** To be told to the other workers. */
  readonly onEjection: (ejection: HostEjection) => void;
  /** Default true. */
  readonly reusePort?: boolean;
}

/** The data path of one worker: configuration in, traffic served. It runs on any thread; `main.ts` makes a worker of it. */
export interface DataPlane extends AsyncDisposable {
  /**
   * Puts an update into effect. Everything but the opening of sockets happens before this returns, so that no request sees half
   * of it; requests in flight keep the route and cluster that they began with.
   *
   * @returns What could not be put into effect, when the listeners' sockets are open.
   */
  apply(update: ConfigUpdate): Promise<readonly ConfigProblem[]>;
  drain(scope: DrainScope, stopAccepting: boolean): void;
  /** Open downstream connections in scope. */
  connectionCount(scope: DrainScope): number;
  setHealthcheckFailed(failed: boolean): void;
  setTicketKeys(keys: Uint8Array): void;
  applyEjection(ejection: HostEjection): void;
  describeClusters(): readonly ClusterReport[];
  /** The port that a listener is bound to. */
  boundPort(listenerName: string): number | undefined;
  readonly stats: StatsStore;
}

class WorkerDataPlane implements DataPlane {
  readonly stats: StatsStore;
  readonly #clusters = new Map<string, { cluster: Cluster; fingerprint: string }>();
  readonly #endpoints = new Map<string, RuntimeEndpoints>();
  readonly #routeTables = new Map<string, RouteTable>();
  readonly #secrets = new SecretStore();
  readonly #listeners: ListenerManager;
  readonly #clusterContext: ClusterContext;
  #ticketKeys: Buffer;

  constructor(options: DataPlaneOptions) {
    const { init, timers, random, log } = options;
    const { outlierLogPath } = init;
    this.stats = new StatsStore({
      matcher: init.statsMatcher,
      histogramSettings: init.histogramSettings,
      listener: options.statsListener,
    });
    this.#ticketKeys = Buffer.from(init.ticketKeys);
    this.#clusterContext = {
      timers,
      random,
      log,
      stats: this.stats,
      secrets: this.#secrets,
      breakerCells: new Int32Array(init.breakerCells),
      mark: init.upstreamMark,
      clientSources: new ClientSources(log),
      onEjection: options.onEjection,
      outlierLog:
        outlierLogPath === undefined
          ? undefined
          : createOutlierEventLog({ timers, write: (line) => options.accessLogs.write(outlierLogPath, line) }),
    };
    const context: ProxyContext = {
      node: init.node,
      timers,
      random,
      log,
      stats: this.stats,
      accessLogs: options.accessLogs,
      cluster: (name) => this.#clusters.get(name)?.cluster,
      routeTable: (name) => this.#routeTables.get(name),
    };
    this.#listeners = new ListenerManager({
      context,
      secrets: this.#secrets,
      ticketKeys: () => this.#ticketKeys,
      drainStrategy: init.drainStrategy,
      drainTimeMs: init.drainTimeMs,
      reusePort: options.reusePort ?? true,
    });
  }

  async apply(update: ConfigUpdate): Promise<readonly ConfigProblem[]> {
    const problems: ConfigProblem[] = [];
    if (update.secrets !== undefined) this.#secrets.apply(update.secrets);
    if (update.endpoints !== undefined) this.#applyEndpoints(update.endpoints);
    if (update.clusters !== undefined) this.#applyClusters(update.clusters);
    if (update.routes !== undefined) problems.push(...this.#applyRoutes(update.routes));
    if (update.listeners !== undefined) problems.push(...(await this.#listeners.apply(update.listeners)));
    return problems;
  }

  drain(scope: DrainScope, stopAccepting: boolean): void {
    this.#listeners.drain(scope, stopAccepting);
  }

  connectionCount(scope: DrainScope): number {
    return this.#listeners.connectionCount(scope);
  }

  setHealthcheckFailed(failed: boolean): void {
    this.#listeners.setHealthcheckFailed(failed);
  }

  setTicketKeys(keys: Uint8Array): void {
    this.#ticketKeys = Buffer.from(keys);
  }

  applyEjection(ejection: HostEjection): void {
    this.#clusters.get(ejection.cluster)?.cluster.applyEjection(ejection);
  }

  describeClusters(): readonly ClusterReport[] {
    return Array.from(this.#clusters.values(), ({ cluster }) => cluster.report());
  }

  boundPort(listenerName: string): number | undefined {
    return this.#listeners.boundPort(listenerName);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listeners.close();
    for (const { cluster } of this.#clusters.values()) cluster.close();
    this.#clusters.clear();
  }

  #applyEndpoints({ remove, upsert }: ResourceDelta<RuntimeEndpoints>): void {
    const changed = new Set<string>();
    for (const name of remove) if (this.#endpoints.delete(name)) changed.add(name);
    for (const endpoints of upsert) {
      this.#endpoints.set(endpoints.name, endpoints);
      changed.add(endpoints.name);
    }
    for (const { cluster } of this.#clusters.values()) {
      const name = cluster.config.endpointsName;
      if (changed.has(name)) cluster.updateEndpoints(this.#endpoints.get(name));
    }
  }

  #applyClusters({ remove, upsert }: ResourceDelta<RuntimeCluster>): void {
    const upserted = new Set(upsert.map(({ name }) => name));
    for (const name of remove) {
      if (upserted.has(name)) continue;
      this.#clusters.get(name)?.cluster.drain();
      this.#clusters.delete(name);
    }
    for (const config of upsert) this.#putCluster(config);
  }

  #putCluster(config: RuntimeCluster): void {
    const fingerprint = stableJson(config);
    const old = this.#clusters.get(config.name);
    // Unchanged: its connections live on.
    if (old?.fingerprint === fingerprint) return;
    const cluster = new Cluster(config, this.#clusterContext);
    if (config.discovery.kind !== 'original_dst') cluster.updateEndpoints(this.#endpoints.get(config.endpointsName));
    this.#clusters.set(config.name, { cluster, fingerprint });
    old?.cluster.drain();
  }

  #applyRoutes({ remove, upsert }: ResourceDelta<RuntimeRouteConfig>): readonly ConfigProblem[] {
    const problems: ConfigProblem[] = [];
    for (const name of remove) this.#routeTables.delete(name);
    for (const config of upsert) {
      try {
        this.#routeTables.set(config.name, new RouteTable(config));
      } catch (error) {
        problems.push({ kind: 'route', name: config.name, message: `Cannot compile routes: ${messageOf(error)}` });
      }
    }
    return problems;
  }
}

/** Creates a data plane; it serves nothing before its first `apply`. */
export function createDataPlane(options: DataPlaneOptions): DataPlane {
  return new WorkerDataPlane(options);
}
