import type { Random } from '@meltemi/base';
import type { RuntimeOutlierDetection } from '../config/runtime-config.ts';
import type { TimerHandle, Timers } from '../network/timers.ts';
import type { ClusterStats } from '../stats/cluster-stats.ts';
import type { Host } from './host.ts';
import type { EjectionType, OutlierEvent } from './outlier-event-log.ts';

/** What became of one request, as outlier detection sees it. */
export type HostOutcome =
  | { readonly kind: 'response'; readonly status: number }
  /** We could not connect, or the connection broke, or the answer took too long. */
  | { readonly kind: 'local_failure' };

interface HostRecord {
  consecutive5xx: number;
  consecutiveGateway: number;
  consecutiveLocal: number;
  /** Of which the next one's length is made: healthy times take off. */
  ejections: number;
  totalEjections: number;
  returnedMs: number;
  /** Of the last ejection or return; undefined: there was none. */
  changedMs: number | undefined;
  /** Why this worker ejected the host; undefined: another one did. */
  type: EjectionType | undefined;
  timer: TimerHandle | undefined;
}

/** What a detector needs from its cluster. */
export interface OutlierDetectorOptions {
  readonly config: RuntimeOutlierDetection;
  readonly stats: ClusterStats;
  readonly timers: Timers;
  readonly random: Random;
  /** How many hosts the cluster has, ejected ones included. */
  readonly hostCount: () => number;
  /** A host went out or came back; balancing has to be rebuilt, other workers told. */
  readonly onChange: (host: Host, ejected: boolean, durationMs: number) => void;
  /** Told of what this worker does, not of what it hears from others. */
  readonly onEvent: (event: OutlierEvent) => void;
}

const EJECTION_TYPES = {
  '5xx': 'CONSECUTIVE_5XX',
  gateway: 'CONSECUTIVE_GATEWAY_FAILURE',
  local: 'CONSECUTIVE_LOCAL_ORIGIN_FAILURE',
} as const;

/**
 * Takes hosts out of balancing that fail several times in a row.
 *
 * Counts are this worker's own; an ejection is told to the other workers.
 */
export class OutlierDetector {
  readonly #options: OutlierDetectorOptions;
  readonly #records = new WeakMap<Host, HostRecord>();
  #ejectedCount = 0;
  readonly #timers = new Set<TimerHandle>();

  constructor(options: OutlierDetectorOptions) {
    this.#options = options;
  }

  /** Notes the outcome of a request. */
  report(host: Host, outcome: HostOutcome): void {
    const { config } = this.#options;
    const record = this.#recordOf(host);
    if (outcome.kind === 'local_failure') {
      if (config.splitExternalLocalOriginErrors) {
        record.consecutiveLocal += 1;
        this.#check(host, record.consecutiveLocal, config.consecutiveLocalOriginFailure, 'local');
        return;
      }
      // Not split: it counts as a gateway failure, as Envoy maps it to 503.
      this.#countExternal(host, record, 503);
      return;
    }
    record.consecutiveLocal = 0;
    this.#countExternal(host, record, outcome.status);
  }

  /** Another worker ejected the host, or let it back. */
  applyRemote(host: Host, ejected: boolean, durationMs: number): void {
    if (ejected) this.#eject(host, durationMs, false);
    else this.#readmit(host, false);
  }

  /** Forgets a host that discovery removed. */
  forget(host: Host): void {
    // It does not come back: nothing to tell.
    this.#recordOf(host).type = undefined;
    if (host.ejected) this.#readmit(host, false);
  }

  dispose(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  #recordOf(host: Host): HostRecord {
    let record = this.#records.get(host);
    if (record === undefined) {
      record = {
        consecutive5xx: 0,
        consecutiveGateway: 0,
        consecutiveLocal: 0,
        ejections: 0,
        totalEjections: 0,
        returnedMs: 0,
        changedMs: undefined,
        type: undefined,
        timer: undefined,
      };
      this.#records.set(host, record);
    }
    return record;
  }

  #countExternal(host: Host, record: HostRecord, status: number): void {
    const { config } = this.#options;
    const isGateway = status >= 502 && status <= 504;
    record.consecutiveGateway = isGateway ? record.consecutiveGateway + 1 : 0;
    record.consecutive5xx = status >= 500 ? record.consecutive5xx + 1 : 0;
    if (isGateway) this.#check(host, record.consecutiveGateway, config.consecutiveGatewayFailure, 'gateway');
    if (status >= 500) this.#check(host, record.consecutive5xx, config.consecutive5xx, '5xx');
  }

  #check(host: Host, count: number, threshold: number, kind: '5xx' | 'gateway' | 'local'): void {
    if (threshold === 0 || count < threshold || host.ejected || host.removed) return;
    const record = this.#recordOf(host);
    record.consecutive5xx = 0;
    record.consecutiveGateway = 0;
    record.consecutiveLocal = 0;
    const { config, stats, random } = this.#options;
    const enforcing = {
      '5xx': config.enforcingConsecutive5xxPercent,
      gateway: config.enforcingConsecutiveGatewayFailurePercent,
      local: config.enforcingConsecutiveLocalOriginFailurePercent,
    }[kind];
    if (random() * 100 >= enforcing) {
      this.#tell(host, record, { type: EJECTION_TYPES[kind], action: 'EJECT', isEnforced: false });
      return;
    }
    if (((this.#ejectedCount + 1) * 100) / this.#options.hostCount() > config.maxEjectionPercent) {
      stats.ejectionsOverflow.inc();
      return;
    }
    ({
      '5xx': stats.ejectionsConsecutive5xx,
      gateway: stats.ejectionsConsecutiveGateway,
      local: stats.ejectionsConsecutiveLocal,
    })[kind].inc();
    record.type = EJECTION_TYPES[kind];
    this.#eject(host, this.#nextDurationMs(record), true);
  }

  #tell(host: Host, record: HostRecord, event: Pick<OutlierEvent, 'type' | 'action' | 'isEnforced'>): void {
    const nowMs = this.#options.timers.nowMs();
    const sinceLastMs = record.changedMs === undefined ? undefined : nowMs - record.changedMs;
    this.#options.onEvent({ host: host.key, ejections: record.totalEjections, sinceLastMs, ...event });
  }

  /** Longer with each ejection; every healthy interval in between takes one off. */
  #nextDurationMs(record: HostRecord): number {
    const { config, timers } = this.#options;
    const healthyIntervals =
      record.ejections === 0 ? 0 : Math.floor((timers.nowMs() - record.returnedMs) / config.intervalMs);
    record.ejections = Math.max(0, record.ejections - healthyIntervals) + 1;
    const longest = Math.max(config.maxEjectionTimeMs, config.baseEjectionTimeMs);
    return Math.min(config.baseEjectionTimeMs * record.ejections, longest);
  }

  #eject(host: Host, durationMs: number, isOurs: boolean): void {
    if (host.ejected) return;
    const { stats, timers, onChange } = this.#options;
    host.ejected = true;
    this.#ejectedCount += 1;
    stats.ejectionsActive.add(1);
    if (isOurs) stats.ejectionsEnforcedTotal.inc();
    const record = this.#recordOf(host);
    record.totalEjections += 1;
    if (isOurs && record.type !== undefined)
      this.#tell(host, record, { type: record.type, action: 'EJECT', isEnforced: true });
    record.changedMs = timers.nowMs();
    // Every worker lets the host back by its own timer, so that none waits for a message that never comes.
    const timer = timers.set(() => this.#readmit(host, false), durationMs);
    record.timer = timer;
    this.#timers.add(timer);
    onChange(host, true, isOurs ? durationMs : -1);
  }

  #readmit(host: Host, isOurs: boolean): void {
    if (!host.ejected) return;
    const record = this.#recordOf(host);
    if (record.timer !== undefined) {
      record.timer.cancel();
      this.#timers.delete(record.timer);
      record.timer = undefined;
    }
    if (record.type !== undefined)
      this.#tell(host, record, { type: record.type, action: 'UNEJECT', isEnforced: false });
    record.type = undefined;
    record.returnedMs = this.#options.timers.nowMs();
    record.changedMs = record.returnedMs;
    host.ejected = false;
    this.#ejectedCount -= 1;
    this.#options.stats.ejectionsActive.add(-1);
    this.#options.onChange(host, false, isOurs ? 0 : -1);
  }
}
