import type { Log, Random } from '@meltemi/base';
import type { RuntimeNode } from '../../config/runtime-config.ts';
import type { RouteTable } from '../../decide/route-table.ts';
import type { Timers } from '../../network/timers.ts';
import type { StatsStore } from '../../stats/stats-store.ts';
import type { Cluster } from '../../upstream/cluster.ts';
import type { AccessLogSink } from '../access-log/access-log.ts';

/** What filters see of the worker that they run in. */
export interface ProxyContext {
  readonly node: RuntimeNode;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly stats: StatsStore;
  readonly accessLogs: AccessLogSink;
  /** The cluster of that name as it is now. */
  cluster(name: string): Cluster | undefined;
  /** The route table of that name as it is now. */
  routeTable(name: string): RouteTable | undefined;
}
