import { randomBytes } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { hostname } from 'node:os';
import { clone } from '@bufbuild/protobuf';
import {
  type Clock,
  disposeAll,
  type Log,
  type LogLevels,
  messageOf,
  type Random,
  silentLog,
  systemClock,
  systemRandom,
} from '@meltemi/base';
import { type Bootstrap, BootstrapSchema } from '@meltemi/xds/types/envoy/config/bootstrap/v3/bootstrap_pb.js';
import type { AdminServer } from './admin/admin-server.ts';
import { readBootstrapSettings } from './bootstrap/bootstrap-settings.ts';
import { buildNode, toRuntimeNode } from './bootstrap/proxy-node.ts';
import { putStaticResources } from './bootstrap/static-resources.ts';
import { createBreakerSlots } from './config/breaker-slots.ts';
import type { ConfigProblem, DrainScope } from './config/messages.ts';
import { connectToCluster } from './lifecycle/cluster-channel.ts';
import { createConfiguration } from './lifecycle/configuration.ts';
import { createDnsHosts } from './lifecycle/dns-hosts.ts';
import { createInitManager, type ServerState } from './lifecycle/init-manager.ts';
import { createLingeringClusters } from './lifecycle/lingering-clusters.ts';
import { refreshLocalEndpoints } from './lifecycle/local-endpoints.ts';
import { createMainStats, DECLARED_COUNTERS } from './lifecycle/main-stats.ts';
import { createPublisher } from './lifecycle/publisher.ts';
import { declareServerGauges } from './lifecycle/server-gauges.ts';
import { createStatsEviction } from './lifecycle/stats-eviction.ts';
import { createWarming } from './lifecycle/warming.ts';
import { createWorkerPool } from './lifecycle/worker-pool.ts';
import type { ProxySettings } from './settings.ts';
import { createDiscovery } from './xds-client/discovery.ts';
import { TYPE_URLS } from './xds-client/type-urls.ts';

/** Why the proxy asks for its process to end. */
export interface ExitReason {
  /** 0 after `/quitquitquit`, 1 after a failure. */
  readonly code: 0 | 1;
  readonly message: string;
}

/** Settings of {@link createProxy}. */
export interface ProxyOptions {
  readonly bootstrap: Bootstrap;
  readonly settings: ProxySettings;
  /** Called at most once; the embedding process should dispose the proxy and end. */
  readonly onExit: (reason: ExitReason) => void;
  /** Default: silent. */
  readonly log?: Log;
  /** Levels that `/logging` changes; they must be the ones that `log` obeys. */
  readonly logLevels?: LogLevels;
  /** Default: the machine's. */
  readonly clock?: Clock;
  readonly random?: Random;
  /** Only for tests: another worker program. */
  readonly workerEntry?: URL;
}

/** How a drain goes. */
export interface DrainOptions {
  readonly scope: DrainScope;
  /** Listening sockets close at once. False: connections are asked to end while new ones are still taken. */
  readonly stopAccepting: boolean;
}

/** A proxy in this process: main thread and workers. */
export interface Proxy extends AsyncDisposable {
  /**
   * Starts workers with the static configuration, admin and discovery; resolves when admin answers.
   *
   * @throws MeltemiError when the bootstrap cannot be used, or an address cannot be bound.
   */
  start(signal?: AbortSignal): Promise<void>;
  /** Resolves when `/ready` would answer LIVE for the first time. */
  live(): Promise<void>;
  state(): ServerState;
  /** Where admin listens; `undefined` before `start`, or without an admin address. */
  adminAddress(): { readonly address: string; readonly port: number } | undefined;
  /** Asks clients to go; resolves when no connection of the scope is left. */
  drain(options: DrainOptions): Promise<void>;
  /** Opens access logs anew, after they were moved away. */
  reopenLogs(): void;
}

/**
 * Builds a proxy; nothing is opened before `start`.
 *
 * @throws MeltemiError `PROXY_BOOTSTRAP_INVALID` naming the field or resource that cannot be used.
 */
export function createProxy(options: ProxyOptions): Proxy {
  const { settings, log = silentLog, logLevels, clock = systemClock, random = systemRandom } = options;
  // Unnamed listeners are given names, and the node its extensions: the caller's message stays as it is.
  const bootstrap = clone(BootstrapSchema, options.bootstrap);
  const bootstrapSettings = readBootstrapSettings(bootstrap);
  const node = buildNode(bootstrap.node, settings.nodeOverrides);
  bootstrap.node = node;
  const configuration = createConfiguration(createBreakerSlots());
  putStaticResources(bootstrap, configuration, clock.nowMs());
  refreshLocalEndpoints(configuration);

  const stats = createMainStats(DECLARED_COUNTERS);
  stats.increment('server.static_unknown_fields', settings.unknownFieldCount);
  let admin: AdminServer | undefined;
  let isExiting = false;
  let isClosed = false;
  const exit = (reason: ExitReason): void => {
    if (isExiting || isClosed) return;
    isExiting = true;
    options.onExit(reason);
  };

  const pool = createWorkerPool({
    count: settings.concurrency,
    entry: options.workerEntry ?? new URL('./worker/main.ts', import.meta.url),
    init: {
      node: toRuntimeNode(node, hostname()),
      breakerCells: configuration.breakerSlots.cells,
      ticketKeys: new Uint8Array(randomBytes(48)),
      upstreamMark: settings.upstreamMark ?? bootstrapSettings.upstreamMark,
      accessLogFlushIntervalMs: settings.fileFlushIntervalMs,
      drainStrategy: settings.drainStrategy,
      drainTimeMs: settings.drainTimeMs,
      statsMatcher: bootstrapSettings.statsMatcher,
      histogramSettings: bootstrapSettings.histogramSettings,
      randomSeed: undefined,
      outlierLogPath: bootstrapSettings.outlierLogPath,
    },
    log,
    clock,
    onFatal: (error) => exit({ code: 1, message: error.message }),
  });
  const warming = createWarming({
    configuration,
    clock,
    onGaveUp: (kind, name) => {
      log.warn('gave up waiting for a resource', { kind, name });
      publishSoon();
    },
  });
  const eviction = createStatsEviction(bootstrapSettings.statsEvictionMs, { stats: pool.stats, clock });
  const lingering = createLingeringClusters(configuration, clock, () => publishSoon());
  const publisher = createPublisher({ configuration, warming, lingering, pool, stats, log: log.scope('config') });
  const publish = async (): Promise<readonly ConfigProblem[]> => {
    refreshLocalEndpoints(configuration);
    dnsHosts.refresh();
    const problems = await publisher.publish();
    init.onProgress();
    return problems;
  };
  /** For changes that no control plane waits for. */
  const publishSoon = (): void => {
    if (isClosed) return;
    publish().then(
      () => discovery.refreshSubscriptions(),
      (error: unknown) => log.error('cannot apply a change', { error: messageOf(error) }),
    );
  };
  const dnsHosts = createDnsHosts({
    configuration,
    lookup: (name, family) => lookup(name, { all: true, family }),
    clock,
    log: log.scope('dns'),
    onChange: publishSoon,
  });
  const discovery = createDiscovery({
    configuration,
    node,
    ads: bootstrapSettings.ads,
    connect: (cluster) => connectToCluster(configuration, cluster),
    publish,
    clock,
    random,
    log,
    stats,
    onJudged: (typeUrl) => {
      if (typeUrl === TYPE_URLS.cluster) init.onAnswer('cds');
      if (typeUrl === TYPE_URLS.listener) init.onAnswer('lds');
    },
  });
  const init = createInitManager({
    cdsTimeoutMs: bootstrapSettings.cdsTimeoutMs,
    ldsTimeoutMs: bootstrapSettings.ldsTimeoutMs,
    clock,
    log: log.scope('init'),
    warmingClusters: () => publisher.warmingClusters(),
    warmingListeners: () => publisher.warmingListeners(),
    onClustersReady: () => {
      if (bootstrapSettings.ldsTimeoutMs !== undefined) discovery.askForListeners();
    },
    onFetchTimeout: (type) =>
      stats.increment(`${type === 'cds' ? 'cluster_manager.cds' : 'listener_manager.lds'}.init_fetch_timeout`),
  });
  const startedAtMs = clock.monotonicMs();
  declareServerGauges(stats, {
    clock,
    startedAtMs,
    concurrency: settings.concurrency,
    init,
    discovery,
    configuration,
    publisher,
  });

  const drain = async ({ scope, stopAccepting }: DrainOptions): Promise<void> => {
    if (scope === 'all') init.setDraining(true);
    pool.broadcast({ type: 'drain', scope, stopAccepting });
    await pool.drained(scope);
  };

  const startAdmin = async (): Promise<void> => {
    if (bootstrapSettings.admin === undefined) return;
    // node:http is loaded with it: a proxy without admin does not pay for it.
    const { startAdminServer } = await import('./admin/admin-server.ts');
    admin = await startAdminServer({
      address: bootstrapSettings.admin,
      addressPath: settings.adminAddressPath,
      context: {
        bootstrap,
        settings,
        configuration,
        pool,
        stats,
        statsMatcher: bootstrapSettings.statsMatcher,
        statsTags: bootstrapSettings.statsTags,
        usesDefaultStatsTags: bootstrapSettings.usesDefaultStatsTags,
        state: () => init.state(),
        warmingClusters: () => publisher.warmingClusters(),
        clock,
        startedAtMs,
        log: log.scope('admin'),
        logLevels,
        drain,
        setHealthCheckFailed: (failed) => pool.broadcast({ type: 'healthcheck', failed }),
        quit: () => exit({ code: 0, message: 'asked to quit' }),
      },
    });
  };

  return {
    async start(signal) {
      if (signal?.aborted === true) return;
      await pool.start();
      await startAdmin();
      const problems = await publish();
      const fatal = problems[0];
      if (fatal !== undefined) throw new Error(`Cannot start: ${fatal.kind} ${fatal.name}: ${fatal.message}`);
      init.begin();
      discovery.refreshSubscriptions();
      discovery.start();
      eviction.start();
      stats.gauge('listener_manager.workers_started', () => 1);
      log.info('proxy started', { workers: settings.concurrency, node: node.id, admin: admin?.port });
    },
    live: () => init.live(),
    state: () => init.state(),
    adminAddress: () => (admin === undefined ? undefined : { address: admin.address, port: admin.port }),
    drain,
    reopenLogs: () => pool.broadcast({ type: 'reopen_logs' }),
    async [Symbol.asyncDispose]() {
      if (isClosed) return;
      isClosed = true;
      init.close();
      warming.close();
      lingering.close();
      eviction.close();
      dnsHosts.close();
      discovery.close();
      await disposeAll([pool, ...(admin === undefined ? [] : [admin])], (message) => log.warn(message));
    },
  };
}
