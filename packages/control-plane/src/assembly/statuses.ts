import { createDistributionLedger, type DistributionLedger } from '../status/distribution-ledger.ts';
import { tellRejections } from '../status/rejection-events.ts';
import { followReports, publishReports } from '../status/replica-reports.ts';
import { keepStatuses } from '../status/status-writer.ts';
import type { Clusters } from './clusters.ts';
import type { Configuration } from './configuration.ts';
import type { Discovery } from './discovery.ts';
import type { Leaderships } from './leaderships.ts';
import type { RunContext } from './run-context.ts';

/** Kinds of other groups, such as the Gateway API's, have statuses of their own. */
const GROUP_SUFFIX = '.istio.io';

/** What statuses are made of. */
export interface StatusParts {
  readonly configuration: Configuration;
  readonly clusters: Clusters;
  readonly discovery: Discovery;
  readonly leaderships: Leaderships;
}

/**
 * Tells of configuration objects that are not taken, and writes the status of all where that is wished: one replica
 * writes, the others report to it.
 */
export function startStatuses(run: RunContext, parts: StatusParts): void {
  const { client, clock, random, settings, signal, tasks } = run;
  const { configuration, clusters, discovery, leaderships } = parts;
  const { store } = configuration;
  const discovers = (namespace: string): boolean => clusters.local.discovers(namespace);
  const isLeading = (): boolean => leaderships.status.isLeading;
  tellRejections({ client, store, isLeading, discovers, tasks, clock, log: run.log.scope('galley') }, signal);
  if (!settings.enableStatus) return;
  const log = run.log.scope('status');
  const ledger: DistributionLedger = createDistributionLedger(() => discovery.engine.server.statuses());
  discovery.onSnapshot((snapshot) => ledger.take(snapshot));
  const exchange = { client, namespace: settings.namespace, reporter: settings.podName, clock, random, log };
  const others = followReports(exchange, signal);
  const own = { report: () => ledger.report(), isLeading, others };
  tasks.run('Reporting to the leader', () => publishReports(exchange, own, signal));
  const writing = {
    client,
    informers: configuration.source.informers.filter(({ ref }) => ref.group.endsWith(GROUP_SUFFIX)),
    store,
    discovers,
    reports: () => [ledger.report(), ...others.alive()],
    domainSuffix: settings.domainSuffix,
    clock,
    log,
  };
  tasks.run('Writing statuses', () => leaderships.status.whileLeading(signal, (term) => keepStatuses(writing, term)));
}
