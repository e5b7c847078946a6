import { type Clock, type ClockTimer, type Log, messageOf, sha256Hex, sleep } from '@meltemi/base';
import { type ClusterAccess, type KubeClient, parseKubeconfig, type RiskyKubeconfigField } from '@meltemi/kube';
import { DEFAULT_SYNC_TIMEOUT_MS, DEPARTURE_MS, MAX_KUBECONFIG_BYTES, MAX_REMOTE_CLUSTERS } from '../defaults.ts';
import type { AggregateRegistry } from '../merge/aggregate-registry.ts';
import type { RegistryMetrics } from '../metrics.ts';
import { createDepartingRegistry } from './departing-registry.ts';
import {
  connectionError,
  isDegraded,
  type RemoteConnection,
  SYNC_STATUSES,
  type SyncStatus,
  watchAgeMs,
} from './remote-cluster.ts';
import type { RemoteHolder, RemoteHolderEvent, RemoteKubeconfig, RemoteSource } from './remote-source.ts';

/** What is known of one remote cluster, for debug pages and the CLI. */
export interface RemoteClusterInfo {
  readonly id: string;
  /** `<namespace>/<name>` of the Secret that it comes from, or the path of the file. */
  readonly secretName: string;
  /** `refused`: the Secret names a cluster that is not taken from it; `lastError` says why. */
  readonly syncStatus: SyncStatus | 'refused';
  readonly server: string;
  /** Age of the last sign of life, in milliseconds. */
  readonly lastSuccessfulWatchAgeMs?: number;
  /** Why it is not synced. */
  readonly lastError?: string;
  /** What remains unknown of it, because its credentials do not allow more; absent without any. */
  readonly limits?: readonly string[];
}

/** A cluster that is being attached; ends when the signal aborts. */
export interface AttachedCluster {
  readonly clusterId: string;
  readonly client: KubeClient;
  readonly signal: AbortSignal;
}

/** What the controller of remote clusters is made of. */
export interface RemoteClustersOptions {
  /** Names the clusters. */
  readonly source: RemoteSource;
  readonly localClusterId: string;
  readonly aggregate: AggregateRegistry;
  /** Makes a client and a registry out of credentials; nothing is started yet. */
  readonly connect: (clusterId: string, access: ClusterAccess) => Omit<RemoteConnection, 'stop'>;
  /** Called for each connection when it has become the cluster's one. */
  readonly onAttach?: (cluster: AttachedCluster) => void;
  /** Called once for each kubeconfig that is not taken, and again when the reason or the kubeconfig changes. */
  readonly onRefuse?: (refusal: RemoteRefusal) => void;
  /** Risky kubeconfig fields that the operator accepts. Default: none. */
  readonly allow?: ReadonlySet<RiskyKubeconfigField>;
  /** Clusters beyond this number are refused. Default 1,000. */
  readonly maxClusters?: number;
  /** 0 waits for ever. Default 30 s. */
  readonly syncTimeoutMs?: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics?: RegistryMetrics;
}

/** Follows what names remote clusters: attaches, rotates credentials without a gap, detaches. */
export interface RemoteClusters extends AsyncDisposable {
  /** Resolves when each cluster that is there at start is synced, or was given up on for now. */
  start(signal: AbortSignal): Promise<void>;
  /** By id; also those that are refused. */
  list(): readonly RemoteClusterInfo[];
  /** Clusters that are followed, synced or not. */
  ids(): readonly string[];
  /** Brings the status metrics up to date; they change with time alone, so it is called before each scrape. */
  reportMetrics(): void;
  /** A client of the cluster, also while it is not synced. */
  clientOf(clusterId: string): KubeClient | undefined;
}

interface Member {
  readonly id: string;
  readonly secretName: string;
  hash: string;
  /** Serves; absent until the first sync. */
  active: RemoteConnection | undefined;
  /** Is being read for the first time. */
  candidate: RemoteConnection | undefined;
  timedOut: boolean;
}

/** Why a cluster is not taken from a holder. */
export interface RemoteRefusal {
  readonly id: string;
  readonly holder: Pick<RemoteHolder, 'name' | 'secret'>;
  /** Never quotes the kubeconfig. */
  readonly reason: string;
  /** Digest of the kubeconfig that was refused. */
  readonly hash: string;
}

/** What the log says of a refusal, and whoever else tells of it. */
export const REFUSAL_WORDS = 'Remote cluster not taken from its secret';

/** Creates the controller; no I/O happens before `start`. */
export function createRemoteClusters(options: RemoteClustersOptions): RemoteClusters {
  return new RemoteSecretController(options);
}

class RemoteSecretController implements RemoteClusters {
  readonly #options: RemoteClustersOptions;
  readonly #members = new Map<string, Member>();
  /** Clusters that are not taken, by holder and id. */
  readonly #refusals = new Map<string, RemoteRefusal>();
  /** Clusters that have left a moment ago, by id. */
  readonly #departures = new Map<string, ClockTimer>();
  /** Let go of once the start is over. */
  #startGates: Promise<void>[] | undefined = [];
  /** Holders are handled one after the other: parsing a kubeconfig is asynchronous. */
  #queue: Promise<void> = Promise.resolve();
  #stop = new AbortController();

  constructor(options: RemoteClustersOptions) {
    this.#options = options;
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#stop.abort(), { once: true });
    await this.#options.source.start((event, holder) => this.#enqueue(event, holder), this.#stop.signal);
    await this.#queue;
    await Promise.all(this.#startGates ?? []);
    this.#startGates = undefined;
  }

  list(): readonly RemoteClusterInfo[] {
    const members = [...this.#members.values()].map((member) => this.#describe(member));
    const refused = [...this.#refusals.values()]
      // What a member's newer kubeconfig is refused for is told with the member.
      .filter(({ id, holder }) => this.#members.get(id)?.secretName !== holder.name)
      .map(
        ({ id, holder, reason }): RemoteClusterInfo => ({
          id,
          secretName: holder.name,
          syncStatus: 'refused',
          server: '',
          lastError: reason,
        }),
      );
    return [...members, ...refused].toSorted((a, b) => (a.id < b.id ? -1 : 1));
  }

  ids(): readonly string[] {
    return [...this.#members.keys()].toSorted();
  }

  reportMetrics(): void {
    const { metrics } = this.#options;
    if (metrics === undefined) return;
    metrics.managedClusters('remote', this.#members.size);
    metrics.refusedClusters(this.#refusals.size);
    for (const member of this.#members.values()) this.#reportMember(member);
  }

  #reportMember(member: Member): void {
    const { metrics } = this.#options;
    const status = this.#statusOf(member);
    for (const candidate of SYNC_STATUSES) metrics?.syncStatus(member.id, 'remote', candidate, candidate === status);
  }

  clientOf(clusterId: string): KubeClient | undefined {
    const member = this.#members.get(clusterId);
    // New credentials that are not proven yet must not replace those that work.
    return (member?.active ?? member?.candidate)?.client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    for (const timer of this.#departures.values()) timer.cancel();
    await this.#queue;
    for (const member of this.#members.values()) {
      await this.#close(member.candidate);
      await this.#close(member.active);
    }
    this.#members.clear();
  }

  #enqueue(event: RemoteHolderEvent, holder: RemoteHolder): void {
    this.#options.metrics?.secretEvent(event);
    this.#options.log.debug('Remote secret', { event, secret: holder.name, clusters: [...holder.kubeconfigs.keys()] });
    this.#queue = this.#queue.then(async () => {
      try {
        await this.#applyHolder(event === 'delete' ? { ...holder, kubeconfigs: new Map() } : holder);
      } catch (error) {
        this.#options.log.error('Cannot apply a remote secret', { secret: holder.name, error: messageOf(error) });
      }
    });
  }

  /** The whole holder is the event: clusters that it no longer names go first. */
  async #applyHolder(applied: RemoteHolder): Promise<void> {
    const { name, kubeconfigs } = applied;
    if (this.#stop.signal.aborted) return;
    for (const [key, { holder, id }] of this.#refusals)
      if (holder.name === name && !kubeconfigs.has(id)) this.#refusals.delete(key);
    let detached = false;
    for (const member of this.#members.values()) {
      if (member.secretName !== name || kubeconfigs.has(member.id)) continue;
      await this.#detach(member);
      detached = true;
    }
    for (const [id, kubeconfig] of kubeconfigs) await this.#applyKey(id, applied, kubeconfig);
    if (!detached) return;
    // A cluster that another holder names as well was refused so far, and is free now.
    for (const other of this.#options.source.holders()) {
      if (other.name === name) continue;
      for (const [id, kubeconfig] of other.kubeconfigs)
        if (!this.#members.has(id)) await this.#applyKey(id, other, kubeconfig);
    }
  }

  async #applyKey(id: string, holder: RemoteHolder, kubeconfig: RemoteKubeconfig): Promise<void> {
    const { localClusterId, log, maxClusters = MAX_REMOTE_CLUSTERS } = this.#options;
    const member = this.#members.get(id);
    const hash = sha256Hex(kubeconfig.text);
    const refuse = (reason: string): void => this.#refuse({ id, holder, reason, hash });
    if (id === localClusterId) {
      refuse("the cluster is this control plane's own; remove the key");
      return;
    }
    if (member !== undefined && member.secretName !== holder.name) {
      refuse(`${member.secretName} names this cluster already; remove one of them`);
      return;
    }
    if (member === undefined && this.#members.size >= maxClusters) {
      refuse(`there are ${maxClusters} remote clusters already, which is the limit`);
      return;
    }
    if (member?.hash === hash) {
      this.#refusals.delete(refusalKey(id, holder.name));
      return;
    }
    const access = await this.#readKubeconfig(kubeconfig);
    if (typeof access === 'string') {
      refuse(access);
      return;
    }
    this.#refusals.delete(refusalKey(id, holder.name));
    if (member === undefined) {
      log.info('Attaching remote cluster', { cluster: id, secret: holder.name, server: access.server });
      const added: Member = {
        id,
        secretName: holder.name,
        hash,
        active: undefined,
        candidate: undefined,
        timedOut: false,
      };
      this.#members.set(id, added);
      this.#connect(added, access);
      this.#reportMember(added);
      return;
    }
    log.info('Credentials of remote cluster changed', { cluster: id, secret: holder.name, server: access.server });
    member.hash = hash;
    await this.#close(member.candidate);
    this.#connect(member, access);
  }

  async #readKubeconfig({ text, context }: RemoteKubeconfig): Promise<ClusterAccess | string> {
    if (text.length > MAX_KUBECONFIG_BYTES) return `the kubeconfig has more than ${MAX_KUBECONFIG_BYTES} bytes`;
    const { allow } = this.#options;
    const parsed = await parseKubeconfig(text, { ...(allow === undefined ? {} : { allow }), context });
    return parsed.ok ? parsed.value : messageOf(parsed.error);
  }

  #refuse(refusal: RemoteRefusal): void {
    const { log, onRefuse } = this.#options;
    const { id, holder, reason, hash } = refusal;
    const key = refusalKey(id, holder.name);
    const known = this.#refusals.get(key);
    if (known?.reason === reason && known.hash === hash) return;
    const isRemembered = known !== undefined || this.#refusals.size < MAX_REMOTE_CLUSTERS;
    if (isRemembered) this.#refusals.set(key, refusal);
    log.warn(REFUSAL_WORDS, { cluster: id, secret: holder.name, reason });
    // What is not remembered would be told again and again.
    if (isRemembered) onRefuse?.(refusal);
  }

  /** Begins to read a cluster; when that is complete, the connection replaces the one that serves. */
  #connect(member: Member, access: ClusterAccess): void {
    const { clock, log, syncTimeoutMs = DEFAULT_SYNC_TIMEOUT_MS } = this.#options;
    const connection: RemoteConnection = { ...this.#options.connect(member.id, access), stop: new AbortController() };
    member.candidate = connection;
    member.timedOut = false;
    const { signal } = connection.stop;
    const synced = connection.registry.start(signal).then(() => this.#promote(member, connection));
    const gate = async (): Promise<void> => {
      const waited = new AbortController();
      const ended = AbortSignal.any([waited.signal, signal]);
      const timeout = syncTimeoutMs === 0 ? new Promise<void>(() => {}) : sleep(clock, syncTimeoutMs, ended);
      await Promise.race([synced, timeout]);
      waited.abort();
      if (member.candidate === connection && !signal.aborted) this.#giveUpWaiting(member, connection);
    };
    const waiting = gate().catch((error: unknown) =>
      log.error('Cannot take a remote cluster in', { cluster: member.id, error: messageOf(error) }),
    );
    this.#startGates?.push(waiting);
  }

  #giveUpWaiting(member: Member, connection: RemoteConnection): void {
    member.timedOut = true;
    this.#options.metrics?.syncTimedOut(member.id);
    const state =
      member.active === undefined
        ? 'Remote cluster is not read yet; going on without it and trying further'
        : 'Remote cluster cannot be read with its new credentials yet; those before serve on, and they are tried further';
    const error = connectionError(connection) ?? 'no answer yet';
    this.#options.log.warn(state, { cluster: member.id, error });
    this.#reportMember(member);
  }

  async #promote(member: Member, connection: RemoteConnection): Promise<void> {
    if (connection.stop.signal.aborted || member.candidate !== connection) return;
    const previous = member.active;
    member.active = connection;
    member.candidate = undefined;
    member.timedOut = false;
    this.#departures.get(member.id)?.cancel();
    this.#departures.delete(member.id);
    this.#options.aggregate.set(connection.registry);
    this.#options.log.info('Remote cluster synced', { cluster: member.id });
    this.#reportMember(member);
    this.#options.onAttach?.({ clusterId: member.id, client: connection.client, signal: connection.stop.signal });
    await this.#close(previous);
  }

  async #detach(member: Member): Promise<void> {
    this.#members.delete(member.id);
    if (member.active !== undefined) this.#depart(member.active);
    this.#options.metrics?.forgetCluster(member.id);
    this.#options.log.info('Remote cluster detached', { cluster: member.id, secret: member.secretName });
    await this.#close(member.candidate);
    await this.#close(member.active);
  }

  /** Others are told first: its sidecars would else have no more for those who still call them. */
  #depart({ registry }: RemoteConnection): void {
    const { aggregate, clock } = this.#options;
    const { clusterId } = registry;
    aggregate.set(createDepartingRegistry(registry));
    const gone = (): void => {
      this.#departures.delete(clusterId);
      aggregate.remove(clusterId);
    };
    this.#departures.get(clusterId)?.cancel();
    this.#departures.set(clusterId, clock.setTimer(gone, DEPARTURE_MS));
  }

  async #close(connection: RemoteConnection | undefined): Promise<void> {
    if (connection === undefined) return;
    connection.stop.abort();
    await connection.client[Symbol.asyncDispose]();
  }

  #statusOf(member: Member): SyncStatus {
    if (member.active === undefined) return member.timedOut ? 'timeout' : 'syncing';
    if (member.candidate !== undefined) return 'updating';
    return isDegraded(member.active) ? 'degraded' : 'synced';
  }

  #describe(member: Member): RemoteClusterInfo {
    const shown = member.active ?? member.candidate;
    const ageMs = shown === undefined ? undefined : watchAgeMs(shown, this.#options.clock);
    const failing = member.candidate ?? member.active;
    const refusal = this.#refusals.get(refusalKey(member.id, member.secretName))?.reason;
    const error = refusal ?? (failing === undefined ? undefined : connectionError(failing));
    return {
      id: member.id,
      secretName: member.secretName,
      syncStatus: this.#statusOf(member),
      server: shown?.client.server ?? '',
      ...(ageMs === undefined ? {} : { lastSuccessfulWatchAgeMs: Math.round(ageMs) }),
      ...(error === undefined ? {} : { lastError: error }),
      ...(shown === undefined || shown.registry.limits.length === 0 ? {} : { limits: shown.registry.limits }),
    };
  }
}

function refusalKey(id: string, holder: string): string {
  return `${holder}/${id}`;
}
