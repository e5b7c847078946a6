import { configKey, type MeshSnapshot } from '@meltemi/model';
import type { DiscoveryStreamStatus } from '@meltemi/xds/server';

/** How far one replica's proxies have got. */
export interface DistributionReport {
  /** Proxies that are connected to it. */
  readonly proxyCount: number;
  /** By `configKey`, each configuration object that is in force. */
  readonly configs: ReadonlyMap<string, ConfigDistribution>;
}

/** How far one configuration object has got. */
export interface ConfigDistribution {
  readonly generation: number;
  /** Proxies that have acknowledged everything that follows from it. */
  readonly ackedCount: number;
}

/** Remembers from which snapshot on each configuration object is part of what proxies are sent. */
export interface DistributionLedger {
  /** Takes note of a new snapshot, before anything of it is sent. */
  take(snapshot: MeshSnapshot): void;
  report(): DistributionReport;
}

interface Entry {
  /** The frozen resource itself: another content is another object. */
  readonly resource: { readonly generation: number };
  readonly sinceNumber: number;
}

/** Creates a ledger of no snapshot. */
export function createDistributionLedger(statuses: () => readonly DiscoveryStreamStatus[]): DistributionLedger {
  let entries: ReadonlyMap<string, Entry> = new Map();
  return {
    take(snapshot) {
      const next = new Map<string, Entry>();
      for (const resources of snapshot.configsByKind.values()) {
        for (const resource of resources) {
          const known = entries.get(configKey(resource));
          const isKnown = known?.resource === resource;
          next.set(configKey(resource), isKnown ? known : { resource, sinceNumber: snapshot.number });
        }
      }
      entries = next;
    },
    report() {
      const reached = statuses()
        .map(reachedNumber)
        .toSorted((left, right) => left - right);
      const configs = [...entries].map(([key, { resource, sinceNumber }]): [string, ConfigDistribution] => [
        key,
        { generation: resource.generation, ackedCount: reached.length - countBelow(reached, sinceNumber) },
      ]);
      return { proxyCount: reached.length, configs: new Map(configs) };
    },
  };
}

/** The newest snapshot of which a proxy has acknowledged all that it asked for. */
function reachedNumber({ number, subscriptions }: DiscoveryStreamStatus): number {
  return Math.min(number, ...subscriptions.map(({ ackedNumber }) => ackedNumber));
}

/** How many of ascending numbers are smaller. */
function countBelow(ascending: readonly number[], limit: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ascending[middle] as number) < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
