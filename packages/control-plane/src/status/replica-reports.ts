import { type Clock, type Log, messageOf, type Random, sleep } from '@meltemi/base';
import { CONFIG_MAPS, type ConfigMap, createInformer, isNotFound, type KubeClient } from '@meltemi/kube';
import type { DistributionReport } from './distribution-ledger.ts';

/** Label of the ConfigMaps by which replicas tell the leader how far their proxies have got. */
export const REPORT_LABEL = 'internal.istio.io/distribution-report';
const REPORT_KEY = 'distribution-report';

/** A replica whose report has not been renewed for this long is gone, and its proxies with it. */
const STALE_MS = 60_000;
const RENEW_MS = 20_000;
const TICK_MS = 2_000;
/** A ConfigMap holds 1 MiB. */
const MAX_REPORT_BYTES = 900_000;
const MAX_REPORTS = 50;

/** What reports are exchanged with. */
export interface ReplicaReportOptions {
  readonly client: Pick<KubeClient, 'list' | 'watch' | 'server' | 'apply' | 'delete'>;
  readonly namespace: string;
  /** This replica. */
  readonly reporter: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** What a replica publishes, and how it knows of the others. */
export interface ReportSources {
  readonly report: () => DistributionReport;
  readonly isLeading: () => boolean;
  readonly others: Pick<ReplicaReports, 'stale'>;
}

/**
 * Writes the own report for the leader whenever it changes, until the signal aborts; then takes it away. The leader takes
 * away those of replicas that had no time for it.
 */
export async function publishReports(
  { client, namespace, reporter, clock, log }: ReplicaReportOptions,
  { report, isLeading, others }: ReportSources,
  signal: AbortSignal,
): Promise<void> {
  const key = { namespace, name: `${reporter}-distribution` };
  let published: { readonly text: string; readonly atMs: number } | undefined;
  const remove = async (name: string): Promise<void> => {
    try {
      await client.delete(CONFIG_MAPS, { namespace, name }, { timeoutMs: TICK_MS });
    } catch (error) {
      if (!isNotFound(error)) log.info('Cannot take a report away', { name, error: messageOf(error) });
    }
  };
  const withdraw = async (): Promise<void> => {
    if (published === undefined) return;
    published = undefined;
    await remove(key.name);
  };
  while (!signal.aborted) {
    // The leader knows its own proxies.
    if (isLeading()) {
      await withdraw();
      for (const name of others.stale()) await remove(name);
    } else {
      const text = encodeReport(report());
      const isDue = published === undefined || clock.monotonicMs() - published.atMs >= RENEW_MS;
      if (isDue || published?.text !== text) {
        try {
          const renewed = new Date(clock.nowMs()).toISOString();
          await client.apply(CONFIG_MAPS, buildMap(key, text, renewed), { fieldManager: 'istiod', signal });
          published = { text, atMs: clock.monotonicMs() };
        } catch (error) {
          if (!signal.aborted) log.warn('Cannot report to the leader; will try again', { error: messageOf(error) });
        }
      }
    }
    await sleep(clock, TICK_MS, signal);
  }
  await withdraw();
}

/** The reports of the other replicas. */
export interface ReplicaReports {
  /** Of those that are there. */
  alive(): readonly DistributionReport[];
  /** Names of the ConfigMaps of those that are gone. */
  stale(): readonly string[];
}

/** Follows the reports of the other replicas, until the signal aborts. */
export function followReports(options: ReplicaReportOptions, signal: AbortSignal): ReplicaReports {
  const { namespace, reporter, clock } = options;
  const seen = new Map<string, { readonly report: DistributionReport; readonly atMs: number }>();
  const informer = createInformer<ConfigMap>({
    ...options,
    ref: CONFIG_MAPS,
    namespace,
    labelSelector: `${REPORT_LABEL}=true`,
  });
  const take = ({ metadata, data }: ConfigMap): void => {
    const report = metadata.name === `${reporter}-distribution` ? undefined : decodeReport(data?.[REPORT_KEY] ?? '');
    if (report === undefined || (seen.size >= MAX_REPORTS && !seen.has(metadata.name))) seen.delete(metadata.name);
    // Judged by how long it is seen unchanged, not by the other's clock.
    else seen.set(metadata.name, { report, atMs: clock.monotonicMs() });
  };
  informer.subscribe({ onAdd: take, onUpdate: take, onDelete: ({ metadata }) => void seen.delete(metadata.name) });
  void informer.start(signal);
  const isStale = ({ atMs }: { readonly atMs: number }): boolean => clock.monotonicMs() - atMs >= STALE_MS;
  return {
    alive: () => [...seen.values()].filter((entry) => !isStale(entry)).map(({ report }) => report),
    stale: () => [...seen].filter(([, entry]) => isStale(entry)).map(([name]) => name),
  };
}

function encodeReport({ proxyCount, configs }: DistributionReport): string {
  const text = JSON.stringify({
    proxyCount,
    configs: Object.fromEntries(
      [...configs].map(([key, { generation, ackedCount }]) => [key, [generation, ackedCount]]),
    ),
  });
  // Of more objects than fit nothing is said: their proxies count as lagging rather than as up to date.
  return text.length <= MAX_REPORT_BYTES ? text : JSON.stringify({ proxyCount, configs: {} });
}

function decodeReport(text: string): DistributionReport | undefined {
  try {
    const { proxyCount, configs } = JSON.parse(text) as { proxyCount?: unknown; configs?: Record<string, unknown> };
    if (typeof proxyCount !== 'number' || typeof configs !== 'object') return undefined;
    const entries = Object.entries(configs).flatMap(([key, value]) => {
      const [generation, ackedCount] = Array.isArray(value) ? (value as unknown[]) : [];
      const isNumbers = typeof generation === 'number' && typeof ackedCount === 'number';
      return isNumbers ? [[key, { generation, ackedCount }] as const] : [];
    });
    return { proxyCount, configs: new Map(entries) };
  } catch {
    return undefined;
  }
}

function buildMap(
  key: { readonly namespace: string; readonly name: string },
  text: string,
  renewed: string,
): ConfigMap {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { ...key, labels: { [REPORT_LABEL]: 'true' } },
    data: { [REPORT_KEY]: text, renewed },
  };
}
