import { memoryUsage } from 'node:process';
import type { Clock } from '@meltemi/base';
import type { Discovery } from '../xds-client/discovery.ts';
import type { Configuration } from './configuration.ts';
import type { InitManager, ServerState } from './init-manager.ts';
import type { MainStats } from './main-stats.ts';
import type { Publisher } from './publisher.ts';

/** Where the gauges are read. */
export interface ServerGaugeSources {
  readonly clock: Clock;
  readonly startedAtMs: number;
  readonly concurrency: number;
  readonly init: InitManager;
  readonly discovery: Discovery;
  readonly configuration: Configuration;
  readonly publisher: Publisher;
}

/** Envoy's numbers of the states, as `server.state` shows them. */
const STATE_NUMBERS: Readonly<Record<ServerState, number>> = {
  LIVE: 0,
  DRAINING: 1,
  PRE_INITIALIZING: 2,
  INITIALIZING: 3,
};

/** Declares the gauges of the server and its managers. */
export function declareServerGauges(stats: MainStats, sources: ServerGaugeSources): void {
  const { clock, startedAtMs, concurrency, init, discovery, configuration, publisher } = sources;
  const { clusters, listeners } = configuration;
  stats.gauge('server.uptime', () => Math.floor((clock.monotonicMs() - startedAtMs) / 1000));
  stats.gauge('server.concurrency', () => concurrency);
  stats.gauge('server.live', () => (init.state() === 'DRAINING' ? 0 : 1));
  stats.gauge('server.state', () => STATE_NUMBERS[init.state()]);
  stats.gauge('server.hot_restart_epoch', () => 0);
  stats.gauge('server.memory_heap_size', () => memoryUsage().heapTotal);
  stats.gauge('server.memory_allocated', () => memoryUsage().heapUsed);
  stats.gauge('server.memory_physical_size', () => memoryUsage.rss());
  stats.gauge('control_plane.connected_state', () => (discovery.isConnected() ? 1 : 0));
  stats.gauge('cluster_manager.active_clusters', () => clusters.active.size);
  stats.gauge('cluster_manager.warming_clusters', () => publisher.warmingClusters().length);
  stats.gauge('listener_manager.total_listeners_active', () => listeners.active.size);
  stats.gauge('listener_manager.total_listeners_warming', () => publisher.warmingListeners().length);
  stats.gauge('listener_manager.total_listeners_draining', () => 0);
  stats.gauge('listener_manager.workers_started', () => 0);
}
