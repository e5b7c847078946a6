import { type Clock, messageOf } from '@meltemi/base';
import { isExpired, type KubeClient } from '@meltemi/kube';
import type { ClusterRegistry } from '../cluster-registry.ts';

/**
 * How a remote cluster is doing. `syncing`: read for the first time. `timeout`: not read in time, still being tried.
 * `synced`: followed. `degraded`: served from what was last seen, since its API cannot be reached. `updating`: new
 * credentials are being tried, the previous ones serve on.
 */
export type SyncStatus = 'syncing' | 'synced' | 'timeout' | 'degraded' | 'updating' | 'closed';

/** Every status, for one-hot metrics. */
export const SYNC_STATUSES: readonly SyncStatus[] = ['syncing', 'synced', 'timeout', 'degraded', 'updating', 'closed'];

/** A connection to one cluster: its client, and the registry that it feeds. */
export interface RemoteConnection {
  readonly client: KubeClient;
  readonly registry: ClusterRegistry;
  /** Aborts when the connection is given up. */
  readonly stop: AbortController;
}

/** Whether a connection that was complete once is cut off now. */
export function isDegraded({ registry }: Pick<RemoteConnection, 'registry'>): boolean {
  return failingInformer(registry) !== undefined;
}

/** Milliseconds since the API server was last heard on the quietest of the watches; `undefined` before the first time. */
export function watchAgeMs({ registry }: Pick<RemoteConnection, 'registry'>, clock: Clock): number | undefined {
  const moments = registry.informers.map((informer) => informer.lastActivityMs);
  if (moments.some((moment) => moment === undefined)) return undefined;
  return clock.monotonicMs() - Math.min(...moments.map((moment) => moment ?? 0));
}

/** What the last failed attempt said; `undefined` while all is well. */
export function connectionError({ registry }: Pick<RemoteConnection, 'registry'>): string | undefined {
  const failing = failingInformer(registry);
  return failing === undefined ? undefined : messageOf(failing.lastError);
}

/** A watch that fell behind is made anew at once, which is no failure. */
function failingInformer(registry: ClusterRegistry): ClusterRegistry['informers'][number] | undefined {
  return registry.informers.find(({ lastError }) => lastError !== undefined && !isExpired(lastError));
}
