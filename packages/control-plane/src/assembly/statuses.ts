import { createDistributionLedger, type DistributionLedger } from '../status/distribution-ledger.ts';
import { followReports, publishReports } from '../status/replica-reports.ts';
import { keepStatuses } from '../status/status-writer.ts';
import type { Configuration } from './configuration.ts';
import type { Discovery } from './discovery.ts';
import type { Leaderships } from './leaderships.ts';
import type { RunContext } from './run-context.ts';

/** Kinds of other groups, such as the Gateway API's, have statuses of their own. */
const GROUP_SUFFIX = '.istio.io';

/** Writes the status of configuration objects where that is wished: one replica writes, the others report to it. */
export function startStatuses(
  run: RunContext,
  parts: { readonly configuration: Configuration; readonly discovery: Discovery; readonly leaderships: Leaderships },
): void {
  const { client, clock, random, settings, signal, tasks } = run;
  if (!settings.enableStatus) return;
  const { configuration, discovery, leaderships } = parts;
  const log = run.log.scope('status');
  const ledger: DistributionLedger = createDistributionLedger(() => discovery.engine.server.statuses());
  discovery.onSnapshot((snapshot) => ledger.take(snapshot));
  const exchange = { client, namespace: settings.namespace, reporter: settings.podName, clock, random, log };
  const others = followReports(exchange, signal);
  const own = { report: () => ledger.report(), isLeading: () => leaderships.status.isLeading, others };
  tasks.run('Reporting to the leader', () => publishReports(exchange, own, signal));
  const writing = {
    client,
    informers: configuration.source.informers.filter(({ ref }) => ref.group.endsWith(GROUP_SUFFIX)),
    store: configuration.store,
    reports: () => [ledger.report(), ...others.alive()],
    domainSuffix: settings.domainSuffix,
    clock,
    log,
  };
  tasks.run('Writing statuses', () => leaderships.status.whileLeading(signal, (term) => keepStatuses(writing, term)));
}
