import type { Log, Random } from '@meltemi/base';
import type {
  ClusterReport,
  HostEjection,
  RuntimeCluster,
  RuntimeEndpoints,
  RuntimeLocality,
  RuntimeTransport,
} from '../config/runtime-config.ts';
import { parseIp } from '../decide/ip.ts';
import { stripPort } from '../decide/virtual-host-match.ts';
import type { ClientSource, ClientSources } from '../network/client-source.ts';
import type { Timers } from '../network/timers.ts';
import { ClusterStats } from '../stats/cluster-stats.ts';
import type { StatsStore } from '../stats/stats-store.ts';
import type { SecretStore } from '../tls/secret-store.ts';
import { UpstreamTls } from '../tls/upstream-tls.ts';
import { Breakers } from './breakers.ts';
import { type ConnectEvents, connectUpstream } from './connect.ts';
import { addressText, Host } from './host.ts';
import { Http1Pool } from './http1-pool.ts';
import { hostState, LoadBalancer } from './load-balancer.ts';
import { OutlierDetector } from './outlier-detector.ts';
import type { OutlierEventLog } from './outlier-event-log.ts';

/** What all clusters of a worker share. */
export interface ClusterContext {
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly stats: StatsStore;
  readonly secrets: SecretStore;
  readonly breakerCells: Int32Array;
  readonly mark: number | undefined;
  readonly clientSources: ClientSources;
  /** To be told to the other workers. */
  readonly onEjection: (ejection: HostEjection) => void;
  /** Undefined: nobody keeps one. */
  readonly outlierLog: OutlierEventLog | undefined;
}

/** ALPN protocols offered instead of the transport's; `key` tells pools apart. */
export interface AlpnOverride {
  readonly key: string;
  readonly protocols: readonly string[];
}

/** How a connection to a host is to be made, where the request has a say. */
export interface ConnectionNeeds {
  readonly alpnOverride: AlpnOverride | undefined;
  /** For `autoSni` and `autoSanValidation`. */
  readonly authority: string | undefined;
  /** Whose address the host is to see; undefined: ours. */
  readonly clientSource: ClientSource | undefined;
}

/** Narrows the choice of a host. */
export interface PickOptions {
  /** The connection's original destination, `ip` and port: what `original_dst` clusters go to. */
  readonly originalDestination: { readonly address: string; readonly port: number } | undefined;
  /** Value of `x-envoy-original-dst-host`. */
  readonly originalDstHeader: string | undefined;
  /** Hosts that were tried already. */
  readonly avoid: ReadonlySet<Host> | undefined;
  /** For consistent balancing; undefined: the request has none. */
  readonly hash: bigint | undefined;
  /** Draws until a host outside `avoid` comes up; the last one drawn is used. */
  readonly maxAttempts: number;
}

const NO_LOCALITY: RuntimeLocality = { region: '', zone: '', subZone: '', priority: 0, weight: undefined, hosts: [] };
const ORIGINAL_DST_CLEANUP_MS = 5000;

interface Transport {
  readonly key: string;
  readonly tls: UpstreamTls | undefined;
}

function matchesMetadata(wanted: Readonly<Record<string, string>>, actual: Readonly<Record<string, unknown>>): boolean {
  return Object.entries(wanted).every(([name, value]) => actual[name] === value);
}

/** A cluster in one worker: its hosts, how one is chosen, and how it is connected to. */
export class Cluster {
  readonly config: RuntimeCluster;
  readonly #context: ClusterContext;
  readonly #defaultTransport: Transport;
  readonly #matchedTransports: readonly { match: Readonly<Record<string, string>>; transport: Transport }[];
  readonly #breakers: { readonly default: Breakers; readonly high: Breakers };
  readonly #hosts = new Map<string, Host>();
  readonly #transportOf = new WeakMap<Host, { config: Host['config']; transport: Transport }>();
  #endpoints: RuntimeEndpoints | undefined;
  #balancer: LoadBalancer;
  #stats: ClusterStats | undefined;
  #outliers: OutlierDetector | undefined;
  #cleanupPlanned = false;
  #isClosed = false;

  constructor(config: RuntimeCluster, context: ClusterContext) {
    this.config = config;
    this.#context = context;
    const toTransport = (key: string, transport: RuntimeTransport): Transport => ({
      key,
      tls: transport.kind === 'tls' ? new UpstreamTls(transport.tls, context.secrets) : undefined,
    });
    this.#defaultTransport = toTransport('', config.transport);
    this.#matchedTransports = config.transportMatches.map(({ name, match, transport }, index) => ({
      match,
      transport: toTransport(`${index}:${name}`, transport),
    }));
    const { breakerCells } = context;
    this.#breakers = {
      default: new Breakers(breakerCells, config.breakerSlot, 'default', config.breakers.default),
      high: new Breakers(breakerCells, config.breakerSlot, 'high', config.breakers.high),
    };
    this.#balancer = this.#createBalancer();
  }

  get name(): string {
    return this.config.name;
  }

  /** Made with the first request: most clusters of a sidecar never see one. */
  get stats(): ClusterStats {
    if (this.#stats === undefined) {
      this.#stats = new ClusterStats(this.#context.stats, this.config.altStatName ?? this.config.name);
      this.#countMembers();
    }
    return this.#stats;
  }

  get hostCount(): number {
    return this.#hosts.size;
  }

  breakers(priority: 'default' | 'high'): Breakers {
    return this.#breakers[priority];
  }

  /** Takes over a new list of hosts; hosts that stay keep their connections, those that left are drained. */
  updateEndpoints(endpoints: RuntimeEndpoints | undefined): void {
    this.#endpoints = endpoints;
    const nowMs = this.#context.timers.nowMs();
    const gone = new Set(this.#hosts.keys());
    for (const locality of endpoints?.localities ?? []) {
      for (const config of locality.hosts) {
        const key = addressText(config.address);
        gone.delete(key);
        const known = this.#hosts.get(key);
        if (known === undefined) this.#hosts.set(key, new Host(config, locality, nowMs));
        else known.update(config, locality, nowMs);
      }
    }
    for (const key of gone) this.#removeHost(key);
    this.#rebuild();
  }

  /** Chooses a host; undefined when there is none to choose. */
  pick(options: PickOptions): Host | undefined {
    if (this.config.discovery.kind === 'original_dst') return this.#originalDstHost(options);
    let host: Host | undefined;
    for (let attempt = 0; attempt < options.maxAttempts; attempt++) {
      host = this.#balancer.pick(this.#onPanic, options.hash, attempt);
      if (host === undefined || options.avoid === undefined || !options.avoid.has(host)) return host;
    }
    return host;
  }

  readonly #onPanic = (): void => this.stats.lbHealthyPanic.inc();

  /** The pool that a request to a host waits in. */
  pool(host: Host, priority: 'default' | 'high', needs: ConnectionNeeds): Http1Pool {
    const transport = this.transportOf(host);
    const tls = transport.tls?.config;
    const hostName = tls?.autoSni === true || tls?.autoSanValidation === true ? hostNameOf(needs) : '';
    const alpn = transport.tls === undefined ? '' : (needs.alpnOverride?.key ?? '');
    const source = needs.clientSource === undefined ? '' : `${needs.clientSource.address}/${needs.clientSource.mark}`;
    const key = `${transport.key}|${priority}|${alpn}|${hostName}|${source}`;
    const known = host.pools.get(key);
    if (known !== undefined) return known;
    const pool = new Http1Pool({
      host,
      breakers: this.#breakers[priority],
      stats: this.stats,
      timers: this.#context.timers,
      idleTimeoutMs: this.config.idleTimeoutMs,
      maxRequestsPerConnection: this.config.maxRequestsPerConnection,
      maxConnectionDurationMs: this.config.maxConnectionDurationMs,
      connect: (events) => this.connect(host, needs, events),
      // There may be as many clients as there are addresses: their pools go with their last connection.
      onEmpty: () => void (source !== '' && host.pools.delete(key)),
    });
    host.pools.set(key, pool);
    return pool;
  }

  /** Opens a connection to a host. Counting is the caller's business. */
  connect(host: Host, needs: ConnectionNeeds, events: ConnectEvents): () => void {
    const { tls } = this.transportOf(host);
    const { timers, mark, clientSources } = this.#context;
    return connectUpstream(
      {
        address: host.address,
        mark,
        bindAddress: this.#sourceAddressFor(host),
        openSocket: () => clientSources.open(host.address, needs.clientSource),
        keepalive: this.config.tcpKeepalive,
        timeoutMs: this.config.connectTimeoutMs,
        timers,
        tls:
          tls === undefined
            ? undefined
            : {
                transport: tls,
                target: {
                  serverName: serverNameOf(tls, host, needs),
                  verifiedHost: tls.config.autoSanValidation ? hostNameOf(needs) : undefined,
                  alpnOverride: needs.alpnOverride?.protocols,
                },
              },
      },
      events,
    );
  }

  /** One of the host's family if there is one, as in Envoy. */
  #sourceAddressFor({ address }: Host): string | undefined {
    const { bindSourceAddresses: sources } = this.config;
    if (address.kind === 'pipe' || sources.length < 2) return sources[0];
    const isV6 = address.address.includes(':');
    return sources.find((source) => source.includes(':') === isV6) ?? sources[0];
  }

  /** The transport for a host: the first whose metadata match holds, or the cluster's own. */
  transportOf(host: Host): Transport {
    const known = this.#transportOf.get(host);
    if (known !== undefined && known.config === host.config) return known.transport;
    const metadata = host.config.metadata['envoy.transport_socket_match'] ?? {};
    const found = this.#matchedTransports.find(({ match }) => matchesMetadata(match, metadata));
    const transport = found?.transport ?? this.#defaultTransport;
    this.#transportOf.set(host, { config: host.config, transport });
    return transport;
  }

  /** Tells outlier detection how a request to a host ended. */
  reportStatus(host: Host, status: number): void {
    if (status >= 500) host.counts.rqError += 1;
    else host.counts.rqSuccess += 1;
    this.#detector()?.report(host, { kind: 'response', status });
  }

  /** The host could not be reached, or broke off, or was too slow. */
  reportFailure(host: Host): void {
    host.counts.rqError += 1;
    this.#detector()?.report(host, { kind: 'local_failure' });
  }

  /** Another worker's word on a host. */
  applyEjection({ host: key, ejected, durationMs }: HostEjection): void {
    const host = this.#hosts.get(key);
    if (host !== undefined) this.#detector()?.applyRemote(host, ejected, durationMs);
  }

  report(): ClusterReport {
    return {
      name: this.name,
      hosts: Array.from(this.#hosts.values(), (host) => ({
        address: host.key,
        hostname: host.config.hostname,
        region: host.locality.region,
        zone: host.locality.zone,
        subZone: host.locality.subZone,
        priority: host.locality.priority,
        weight: host.weight,
        health: host.config.health,
        ejected: host.ejected,
        stats: { ...host.counts, rqActive: host.active },
      })),
    };
  }

  /** Replaced or removed: requests in flight finish, nothing new begins. */
  drain(): void {
    this.#isClosed = true;
    this.#outliers?.dispose();
    for (const host of this.#hosts.values()) host.drain();
  }

  /** Closes every connection at once. */
  close(): void {
    this.drain();
    for (const host of this.#hosts.values()) host.close();
  }

  #detector(): OutlierDetector | undefined {
    const config = this.config.outlierDetection;
    if (config === undefined || this.#isClosed) return undefined;
    const { timers, random, onEjection, outlierLog } = this.#context;
    this.#outliers ??= new OutlierDetector({
      config,
      stats: this.stats,
      timers,
      random,
      hostCount: () => this.#hosts.size,
      onEvent: (event) => outlierLog?.(this.name, event),
      onChange: (host, ejected, durationMs) => {
        if (!ejected) host.healthySinceMs = timers.nowMs();
        this.#rebuild();
        if (durationMs >= 0)
          onEjection({ type: 'host_ejection', cluster: this.name, host: host.key, ejected, durationMs });
      },
    });
    return this.#outliers;
  }

  #removeHost(key: string): void {
    const host = this.#hosts.get(key);
    if (host === undefined) return;
    this.#hosts.delete(key);
    this.#outliers?.forget(host);
    host.drain();
  }

  #rebuild(): void {
    this.#balancer = this.#createBalancer();
    if (this.#stats !== undefined) this.#countMembers();
  }

  #createBalancer(): LoadBalancer {
    return new LoadBalancer(this.config, [...this.#hosts.values()], {
      overprovisioningPercent: this.#endpoints?.overprovisioningPercent ?? 140,
      random: this.#context.random,
      nowMs: this.#context.timers.nowMs,
    });
  }

  #countMembers(): void {
    const states = Array.from(this.#hosts.values(), hostState);
    const count = (state: string): number => states.filter((each) => each === state).length;
    this.#stats?.membershipTotal.set(states.length);
    this.#stats?.membershipHealthy.set(count('healthy'));
    this.#stats?.membershipDegraded.set(count('degraded'));
    this.#stats?.membershipExcluded.set(count('excluded'));
  }

  #originalDstHost({ originalDestination, originalDstHeader }: PickOptions): Host | undefined {
    const { discovery } = this.config;
    if (discovery.kind !== 'original_dst') return undefined;
    const fromHeader = discovery.useHttpHeader ? parseHostPort(originalDstHeader) : undefined;
    const target = fromHeader ?? originalDestination;
    if (target === undefined) return undefined;
    const port = discovery.upstreamPortOverride ?? target.port;
    const address = { kind: 'tcp', address: target.address, port } as const;
    const key = addressText(address);
    let host = this.#hosts.get(key);
    if (host === undefined) {
      host = new Host({ address, hostname: '', weight: 1, health: 'healthy', metadata: {} }, NO_LOCALITY, 0);
      this.#hosts.set(key, host);
    }
    this.#planCleanup();
    return host;
  }

  /** Hosts made on demand go when nothing uses them any more. */
  #planCleanup(): void {
    if (this.#cleanupPlanned) return;
    this.#cleanupPlanned = true;
    this.#context.timers.set(() => {
      this.#cleanupPlanned = false;
      for (const [key, host] of this.#hosts) {
        const isUnused = host.active === 0 && [...host.pools.values()].every((pool) => pool.isEmpty);
        if (isUnused) this.#hosts.delete(key);
      }
      if (this.#hosts.size > 0 && !this.#isClosed) this.#planCleanup();
    }, ORIGINAL_DST_CLEANUP_MS);
  }
}

function serverNameOf({ config }: UpstreamTls, host: Host, needs: ConnectionNeeds): string | undefined {
  if (config.autoHostSni && host.config.hostname !== '') return host.config.hostname;
  if (config.sni !== undefined) return config.sni;
  if (!config.autoSni) return undefined;
  const name = hostNameOf(needs);
  // An address is no server name.
  return name === '' || parseIp(name) !== undefined ? undefined : name;
}

/** The host that a request names, without port and brackets. */
function hostNameOf({ authority }: ConnectionNeeds): string {
  return stripPort(authority ?? '').replace(/^\[(.*)\]$/, '$1');
}

function parseHostPort(text: string | undefined): { address: string; port: number } | undefined {
  const match = /^\[?([0-9a-fA-F.:]+?)\]?:(\d{1,5})$/.exec(text ?? '');
  return match === null ? undefined : { address: match[1] as string, port: Number(match[2]) };
}
