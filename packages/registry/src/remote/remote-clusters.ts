import { type Clock, type Log, messageOf, type Random, sha256Hex, sleep } from '@meltemi/base';
import {
  type ClusterAccess,
  createInformer,
  type KubeClient,
  keyText,
  parseKubeconfig,
  type RiskyKubeconfigField,
  SECRETS,
  type Secret,
} from '@meltemi/kube';
import type { AggregateRegistry } from '../merge/aggregate-registry.ts';
import type { RegistryMetrics } from '../metrics.ts';
import {
  connectionError,
  isDegraded,
  type RemoteConnection,
  SYNC_STATUSES,
  type SyncStatus,
  watchAgeMs,
} from './remote-cluster.ts';

/** Label of Secrets that hold credentials of remote clusters. */
export const REMOTE_SECRET_LABEL = 'istio/multiCluster';

/** Kubeconfigs longer than this are not looked at. */
const MAX_KUBECONFIG_BYTES = 1024 * 1024;
/** How long readiness waits for the clusters that are there at start. */
const DEFAULT_SYNC_TIMEOUT_MS = 30_000;

/** What is known of one remote cluster, for debug pages and the CLI. */
export interface RemoteClusterInfo {
  readonly id: string;
  /** `<namespace>/<name>` of the Secret that it comes from. */
  readonly secretName: string;
  readonly syncStatus: SyncStatus;
  readonly server: string;
  /** Age of the last sign of life, in milliseconds. */
  readonly lastSuccessfulWatchAgeMs?: number;
  /** Why it is not synced. */
  readonly lastError?: string;
}

/** A cluster that is being attached; ends when the signal aborts. */
export interface AttachedCluster {
  readonly clusterId: string;
  readonly client: KubeClient;
  readonly signal: AbortSignal;
}

/** What the controller of remote clusters is made of. */
export interface RemoteClustersOptions {
  /** The cluster whose Secrets name the others. */
  readonly client: Pick<KubeClient, 'list' | 'watch' | 'server'>;
  readonly namespace: string;
  readonly localClusterId: string;
  readonly aggregate: AggregateRegistry;
  /** Makes a client and a registry out of credentials; nothing is started yet. */
  readonly connect: (clusterId: string, access: ClusterAccess) => Omit<RemoteConnection, 'stop'>;
  /** Called for each connection when it has become the cluster's one. */
  readonly onAttach?: (cluster: AttachedCluster) => void;
  /** Risky kubeconfig fields that the operator accepts. Default: none. */
  readonly allow?: ReadonlySet<RiskyKubeconfigField>;
  /** 0 waits for ever. Default 30 s. */
  readonly syncTimeoutMs?: number;
  readonly clock: Clock;
  readonly random?: Random;
  readonly log: Log;
  readonly metrics?: RegistryMetrics;
}

/** Follows the Secrets of remote clusters: attaches, rotates credentials without a gap, detaches. */
export interface RemoteClusters extends AsyncDisposable {
  /** Resolves when each cluster that is there at start is synced, or was given up on for now. */
  start(signal: AbortSignal): Promise<void>;
  list(): readonly RemoteClusterInfo[];
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
  /** Why the newest text of the Secret is not used. */
  refusal: string | undefined;
}

/** Creates the controller; no I/O happens before `start`. */
export function createRemoteClusters(options: RemoteClustersOptions): RemoteClusters {
  return new RemoteSecretController(options);
}

class RemoteSecretController implements RemoteClusters {
  readonly #options: RemoteClustersOptions;
  readonly #informer;
  readonly #members = new Map<string, Member>();
  readonly #refusals = new Map<string, string>();
  readonly #startGates: Promise<void>[] = [];
  /** Secrets are handled one after the other: parsing a kubeconfig is asynchronous. */
  #queue: Promise<void> = Promise.resolve();
  #stop = new AbortController();

  constructor(options: RemoteClustersOptions) {
    this.#options = options;
    const { client, namespace, log, clock, random } = options;
    this.#informer = createInformer<Secret>({
      client,
      ref: SECRETS,
      namespace,
      labelSelector: `${REMOTE_SECRET_LABEL}=true`,
      log,
      clock,
      ...(random === undefined ? {} : { random }),
    });
    this.#informer.subscribe({
      onAdd: (secret) => this.#enqueue('add', secret),
      onUpdate: (secret) => this.#enqueue('update', secret),
      onDelete: (secret) => this.#enqueue('delete', secret),
    });
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#stop.abort(), { once: true });
    await this.#informer.start(this.#stop.signal);
    await this.#queue;
    await Promise.all(this.#startGates);
  }

  list(): readonly RemoteClusterInfo[] {
    return [...this.#members.values()]
      .map((member) => this.#describe(member))
      .toSorted((a, b) => (a.id < b.id ? -1 : 1));
  }

  reportMetrics(): void {
    const { metrics } = this.#options;
    if (metrics === undefined) return;
    metrics.managedClusters('remote', this.#members.size);
    for (const member of this.#members.values()) {
      const status = this.#statusOf(member);
      for (const candidate of SYNC_STATUSES) metrics.syncStatus(member.id, 'remote', candidate, candidate === status);
    }
  }

  clientOf(clusterId: string): KubeClient | undefined {
    const member = this.#members.get(clusterId);
    // New credentials that are not proven yet must not replace those that work.
    return (member?.active ?? member?.candidate)?.client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#queue;
    for (const member of this.#members.values()) {
      await this.#close(member.candidate);
      await this.#close(member.active);
    }
    this.#members.clear();
  }

  #enqueue(event: 'add' | 'update' | 'delete', secret: Secret): void {
    this.#options.metrics?.secretEvent(event);
    this.#queue = this.#queue.then(async () => {
      try {
        if (event === 'delete') await this.#applySecret(secret, {});
        else await this.#applySecret(secret, secret.data ?? {});
      } catch (error) {
        this.#options.log.error('Cannot apply a remote secret', {
          secret: keyText(secret.metadata),
          error: messageOf(error),
        });
      }
      this.reportMetrics();
    });
  }

  /** The whole Secret is the event: clusters that it no longer names go first. */
  async #applySecret(secret: Secret, data: Readonly<Record<string, string>>): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const secretName = keyText(secret.metadata);
    let detached = false;
    for (const member of this.#members.values()) {
      if (member.secretName !== secretName || member.id in data) continue;
      await this.#detach(member);
      detached = true;
    }
    for (const [id, value] of Object.entries(data)) await this.#applyKey(id, secretName, value);
    if (!detached) return;
    // A cluster that another Secret names as well was refused so far, and is free now.
    for (const other of this.#informer.store.list()) {
      if (keyText(other.metadata) === secretName) continue;
      for (const [id, value] of Object.entries(other.data ?? {})) {
        if (!this.#members.has(id)) await this.#applyKey(id, keyText(other.metadata), value);
      }
    }
  }

  async #applyKey(id: string, secretName: string, encoded: string): Promise<void> {
    const { localClusterId, log } = this.#options;
    if (id === localClusterId) {
      this.#refuse(id, secretName, "the cluster is this control plane's own; remove the key");
      return;
    }
    const member = this.#members.get(id);
    if (member !== undefined && member.secretName !== secretName) {
      this.#refuse(id, secretName, `Secret ${member.secretName} names this cluster already; remove one of them`);
      return;
    }
    const text = Buffer.from(encoded, 'base64').toString('utf8');
    const hash = sha256Hex(text);
    if (member?.hash === hash) return;
    const access = await this.#readKubeconfig(text);
    if (typeof access === 'string') {
      if (member !== undefined) member.refusal = access;
      this.#refuse(id, secretName, access);
      return;
    }
    this.#refusals.delete(`${secretName}/${id}`);
    if (member === undefined) {
      log.info('Attaching remote cluster', { cluster: id, secret: secretName, server: access.server });
      const added: Member = {
        id,
        secretName,
        hash,
        active: undefined,
        candidate: undefined,
        timedOut: false,
        refusal: undefined,
      };
      this.#members.set(id, added);
      this.#connect(added, access);
      return;
    }
    log.info('Credentials of remote cluster changed', { cluster: id, secret: secretName, server: access.server });
    member.hash = hash;
    member.refusal = undefined;
    await this.#close(member.candidate);
    this.#connect(member, access);
  }

  async #readKubeconfig(text: string): Promise<ClusterAccess | string> {
    if (text.length > MAX_KUBECONFIG_BYTES) return `the kubeconfig has more than ${MAX_KUBECONFIG_BYTES} bytes`;
    const { allow } = this.#options;
    const parsed = await parseKubeconfig(text, allow === undefined ? {} : { allow });
    return parsed.ok ? parsed.value : messageOf(parsed.error);
  }

  #refuse(id: string, secretName: string, reason: string): void {
    const key = `${secretName}/${id}`;
    if (this.#refusals.get(key) === reason) return;
    this.#refusals.set(key, reason);
    this.#options.log.warn('Remote cluster not taken from its secret', { cluster: id, secret: secretName, reason });
  }

  /** Begins to read a cluster; when that is complete, the connection replaces the one that serves. */
  #connect(member: Member, access: ClusterAccess): void {
    const { clock, syncTimeoutMs = DEFAULT_SYNC_TIMEOUT_MS } = this.#options;
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
      if (member.candidate !== connection || signal.aborted) return;
      member.timedOut = true;
      this.#options.metrics?.syncTimedOut(member.id);
      this.#options.log.warn('Remote cluster is not read yet; going on without it and trying further', {
        cluster: member.id,
        error: connectionError(connection) ?? 'no answer yet',
      });
      this.reportMetrics();
    };
    this.#startGates.push(gate());
  }

  async #promote(member: Member, connection: RemoteConnection): Promise<void> {
    if (connection.stop.signal.aborted || member.candidate !== connection) return;
    const previous = member.active;
    member.active = connection;
    member.candidate = undefined;
    member.timedOut = false;
    this.#options.aggregate.set(connection.registry);
    this.#options.log.info('Remote cluster synced', { cluster: member.id });
    this.reportMetrics();
    this.#options.onAttach?.({ clusterId: member.id, client: connection.client, signal: connection.stop.signal });
    await this.#close(previous);
  }

  async #detach(member: Member): Promise<void> {
    this.#members.delete(member.id);
    this.#options.aggregate.remove(member.id);
    this.#options.metrics?.forgetCluster(member.id);
    this.#options.log.info('Remote cluster detached', { cluster: member.id, secret: member.secretName });
    await this.#close(member.candidate);
    await this.#close(member.active);
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
    const error = member.refusal ?? (failing === undefined ? undefined : connectionError(failing));
    return {
      id: member.id,
      secretName: member.secretName,
      syncStatus: this.#statusOf(member),
      server: shown?.client.server ?? '',
      ...(ageMs === undefined ? {} : { lastSuccessfulWatchAgeMs: Math.round(ageMs) }),
      ...(error === undefined ? {} : { lastError: error }),
    };
  }
}
