import { randomUUID } from 'node:crypto';
import type { ElectionCandidate } from '../duties/cluster-duties.ts';
import { createLeadership, LEASE_NAMES, type Leadership, leaseTiming } from '../duties/leadership.ts';
import { CONTROL_PLANE_OPTIONS } from '../options.ts';
import type { RunContext } from './run-context.ts';

/** The elections that a replica takes part in. */
export interface Leaderships {
  readonly namespaces: Leadership;
  readonly webhooks: Leadership;
  readonly status: Leadership;
  /** As whom this replica competes with other control planes in clusters that they share. */
  readonly candidate: ElectionCandidate;
}

/** Enters the elections. A replica serves proxies and webhooks whether it leads or not. */
export function enterElections(run: RunContext): Leaderships {
  const { client, clock, random, settings, signal, tasks } = run;
  const { namespace, podName, revision, leaseDurationMs } = settings;
  // Outside of a pod nobody gives replicas names, and two of one name would both think that they lead.
  const isNamed = podName !== CONTROL_PLANE_OPTIONS.podName.default;
  const identity = isNamed ? podName : `${podName}-${randomUUID()}`;
  const timing = leaseTiming(leaseDurationMs);
  const enter = (name: string, isShared: boolean): Leadership => {
    const leadership = createLeadership({
      client,
      lease: { name, namespace },
      identity,
      ...(isShared ? { revision: { name: revision, isPreferred: revision === 'default' } } : {}),
      timing,
      clock,
      random,
      log: run.log.scope('leader'),
    });
    tasks.run(`The election for ${name}`, () => leadership.run(signal));
    return leadership;
  };
  return {
    namespaces: enter(LEASE_NAMES.namespaces, true),
    webhooks: enter(LEASE_NAMES.webhooks(revision), false),
    status: enter(LEASE_NAMES.status, true),
    // Pods of two clusters may have the same name.
    candidate: { identity: `${settings.clusterId}/${identity}`, timing },
  };
}
