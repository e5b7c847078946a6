import type { Log } from '@meltemi/base';
import type { CompiledListener } from '../compile/listener.ts';
import type { RuntimeEndpoints } from '../config/endpoints.ts';
import type { ConfigProblem, ResourceDelta } from '../config/messages.ts';
import type { RuntimeSecret } from '../config/tls.ts';
import { clustersOfListener, clustersOfRoutes } from './cluster-references.ts';
import type { Configuration } from './configuration.ts';
import type { LingeringClusters } from './lingering-clusters.ts';
import type { MainStats } from './main-stats.ts';
import type { ResourceRecord, ResourceTable } from './resource-table.ts';
import type { Warming } from './warming.ts';
import type { ConfigChange, WorkerPool } from './worker-pool.ts';

/** Brings the workers to what is wanted and warm. */
export interface Publisher {
  /**
   * Sends what changed since the last call; the difference is taken at once, so calls may overlap.
   *
   * @returns What the workers could not put into effect, after all of them have tried.
   */
  publish(): Promise<readonly ConfigProblem[]>;
  /** Names that wait for other resources. */
  warmingClusters(): readonly string[];
  warmingListeners(): readonly string[];
}

/** Settings of {@link createPublisher}. */
export interface PublisherOptions {
  readonly configuration: Configuration;
  readonly warming: Warming;
  readonly lingering: LingeringClusters;
  readonly pool: Pick<WorkerPool, 'apply'>;
  readonly stats: MainStats;
  readonly log: Log;
}

/** Changes in a plain map of runtime objects that the workers hold by name. */
function diffMap<Value>(
  wanted: ReadonlyMap<string, Value>,
  sent: Map<string, Value>,
): ResourceDelta<Value> | undefined {
  const remove = [...sent.keys()].filter((name) => !wanted.has(name));
  const upsert: Value[] = [];
  for (const [name, value] of wanted) {
    if (sent.get(name) === value) continue;
    sent.set(name, value);
    upsert.push(value);
  }
  for (const name of remove) sent.delete(name);
  return remove.length === 0 && upsert.length === 0 ? undefined : { remove, upsert };
}

/** Takes over into `active` what is wanted and warm, and tells what changed. */
function diffTable<Compiled, Runtime>(
  table: ResourceTable<Compiled>,
  isWarm: (compiled: Compiled, record: ResourceRecord<Compiled>) => boolean,
  runtimeOf: (compiled: Compiled) => Runtime,
  mayRemove: (name: string) => boolean = () => true,
): { readonly delta: ResourceDelta<Runtime> | undefined; readonly added: number; readonly modified: number } {
  const remove = [...table.active.keys()].filter((name) => !table.wanted.has(name) && mayRemove(name));
  const upsert: Runtime[] = [];
  let added = 0;
  for (const [name, record] of table.wanted) {
    const active = table.active.get(name);
    if (active === record) continue;
    if (active?.compiled !== record.compiled) {
      if (!isWarm(record.compiled, record)) continue;
      upsert.push(runtimeOf(record.compiled));
      if (active === undefined) added += 1;
    }
    table.active.set(name, record);
  }
  for (const name of remove) table.active.delete(name);
  const delta = remove.length === 0 && upsert.length === 0 ? undefined : { remove, upsert };
  return { delta, added, modified: upsert.length - added };
}

/** Creates the publisher. */
export function createPublisher({ configuration, warming, lingering, pool, stats, log }: PublisherOptions): Publisher {
  const { clusters, endpoints, listeners, routes, secrets } = configuration;
  const sentEndpoints = new Map<string, RuntimeEndpoints>();
  const sentSecrets = new Map<string, RuntimeSecret>();

  const warmingNames = <Compiled>(table: ResourceTable<Compiled>): string[] =>
    [...table.wanted.values()].filter((record) => table.active.get(record.name) !== record).map(({ name }) => name);

  /** Secrets of SDS and of the bootstrap, and those that stand inside clusters and listeners in use or about to be. */
  const wantedSecrets = (): Map<string, RuntimeSecret> => {
    const wanted = new Map<string, RuntimeSecret>();
    for (const record of secrets.wanted.values()) wanted.set(record.name, record.compiled);
    for (const table of [clusters.wanted, clusters.active, listeners.wanted, listeners.active]) {
      for (const { compiled } of table.values()) {
        for (const secret of compiled.inlineSecrets) wanted.set(secret.name, sentSecrets.get(secret.name) ?? secret);
      }
    }
    return wanted;
  };

  const wantedEndpoints = (): Map<string, RuntimeEndpoints> => {
    const wanted = new Map(configuration.localEndpoints);
    for (const record of endpoints.wanted.values()) wanted.set(record.name, record.compiled);
    return wanted;
  };

  const takeOver = <Compiled>(table: ResourceTable<Compiled>): void => {
    table.active.clear();
    for (const [name, record] of table.wanted) table.active.set(name, record);
  };

  /** Make before break: nothing may point at a cluster that still warms. One that is not known at all never comes. */
  const areUsable = (names: ReadonlySet<string>): boolean =>
    [...names].every((name) => {
      const wanted = clusters.wanted.get(name);
      return wanted === undefined || clusters.active.has(name) || warming.isClusterWarm(wanted.compiled);
    });
  const isRouteUsable = (name: string): boolean => {
    const wanted = routes.wanted.get(name);
    return wanted === undefined || routes.active.has(name) || areUsable(clustersOfRoutes(wanted.compiled));
  };
  const isListenerWarm = (listener: CompiledListener): boolean =>
    warming.isListenerWarm(listener) &&
    areUsable(clustersOfListener(listener.runtime)) &&
    listener.routes.every(({ name }) => isRouteUsable(name));

  /**
   * The first listeners of discovery open together: a connection that one of them took in the name of another, which
   * was still waiting for its routes, would be treated as a stranger's for as long as it lives.
   */
  let areListenersOpen = false;
  const mayOpenListeners = (): boolean => {
    const discovered = [...listeners.wanted.values()].filter(({ isStatic }) => !isStatic);
    // Asks all of them, so that every wait is timed.
    return discovered.length > 0 && discovered.filter(({ compiled }) => !isListenerWarm(compiled)).length === 0;
  };

  const collectChange = (): ConfigChange => {
    areListenersOpen ||= mayOpenListeners();
    const listenerChange = diffTable(
      listeners,
      (listener, { isStatic }) => (isStatic || areListenersOpen) && isListenerWarm(listener),
      ({ runtime }) => runtime,
    );
    const routeChange = diffTable(
      routes,
      (runtime) => areUsable(clustersOfRoutes(runtime)),
      (runtime) => runtime,
    );
    // Last, so that clusters which no route needs after this change go with it.
    const clusterChange = diffTable(
      clusters,
      (cluster) => warming.isClusterWarm(cluster),
      ({ runtime }) => runtime,
      (name) => lingering.mayRemove(name),
    );
    const secretDelta = diffMap(wantedSecrets(), sentSecrets);
    const endpointDelta = diffMap(wantedEndpoints(), sentEndpoints);
    takeOver(secrets);
    takeOver(endpoints);
    for (const name of clusterChange.delta?.remove ?? []) configuration.breakerSlots.release(name);
    stats.increment('cluster_manager.cluster_added', clusterChange.added);
    stats.increment('cluster_manager.cluster_modified', clusterChange.modified);
    stats.increment('cluster_manager.cluster_removed', clusterChange.delta?.remove.length ?? 0);
    stats.increment('listener_manager.listener_added', listenerChange.added);
    stats.increment('listener_manager.listener_modified', listenerChange.modified);
    stats.increment('listener_manager.listener_removed', listenerChange.delta?.remove.length ?? 0);
    return {
      ...(secretDelta === undefined ? {} : { secrets: secretDelta }),
      ...(endpointDelta === undefined ? {} : { endpoints: endpointDelta }),
      ...(clusterChange.delta === undefined ? {} : { clusters: clusterChange.delta }),
      ...(routeChange.delta === undefined ? {} : { routes: routeChange.delta }),
      ...(listenerChange.delta === undefined ? {} : { listeners: listenerChange.delta }),
    };
  };

  return {
    async publish() {
      const change = collectChange();
      if (Object.keys(change).length === 0) return [];
      const problems = await pool.apply(change);
      for (const { message, ...resource } of problems)
        log.warn('a worker cannot use a resource', { ...resource, problem: message });
      forgetRefused(configuration, problems);
      stats.increment('listener_manager.listener_create_success', change.listeners?.upsert.length ?? 0);
      stats.increment(
        'listener_manager.listener_create_failure',
        problems.filter(({ kind }) => kind === 'listener').length,
      );
      return problems;
    },
    warmingClusters: () => warmingNames(clusters),
    warmingListeners: () => warmingNames(listeners),
  };
}

/** A resource that workers refused must not count as "equal to what is there" when it comes again. */
function forgetRefused(configuration: Configuration, problems: readonly ConfigProblem[]): void {
  const tables: Readonly<Record<ConfigProblem['kind'], ResourceTable<unknown>>> = {
    cluster: configuration.clusters,
    endpoints: configuration.endpoints,
    listener: configuration.listeners,
    route: configuration.routes,
    secret: configuration.secrets,
  };
  for (const { kind, name, message } of problems) {
    const table = tables[kind];
    const record: ResourceRecord<unknown> | undefined = table.wanted.get(name);
    if (record === undefined) continue;
    const { versionInfo, updatedAtMs, typeUrl, bytes } = record;
    table.rejected.set(name, { versionInfo, updatedAtMs, typeUrl, bytes, message });
    const forgotten = { ...record, bytes: new Uint8Array() };
    if (table.active.get(name) === record) table.active.set(name, forgotten);
    table.wanted.set(name, forgotten);
  }
}
