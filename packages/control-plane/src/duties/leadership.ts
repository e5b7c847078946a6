import { type Clock, type Log, MeltemiError, messageOf, type Random } from '@meltemi/base';
import { type KubeClient, type LeaseTiming, type ObjectKey, runLeaderElection } from '@meltemi/kube';
import { NAMESPACE_LEASE, REMOTE_WEBHOOK_LEASE } from '../manifests/manifest-object.ts';
import { ofRevision } from '../revision-name.ts';
import { untilAborted } from '../until-aborted.ts';

/** Names of the Leases, by Istio's where it has them. Revisions share the first two; each has a webhook of its own. */
export const LEASE_NAMES = {
  /** Root certificates in the namespaces of all clusters. The type is named because declarations are isolated. */
  namespaces: NAMESPACE_LEASE as string,
  /** The status of configuration objects. */
  status: 'istio-status-leader',
  /** Webhook configurations of one revision, and its address in remote clusters. */
  webhooks: (revision: string): string => ofRevision('istio-validation-controller-election', revision),
  /** In a remote cluster that several control planes look after: the webhook and the address of one revision. */
  remoteWebhooks: (revision: string): string => ofRevision(REMOTE_WEBHOOK_LEASE, revision),
} as const;

/** A shorter lease is renewed so often that it costs more than it gains, and is lost by every hiccup. */
const MIN_LEASE_DURATION_MS = 2_000;

/**
 * How patient candidates are, by how long a silent holder keeps the lease.
 *
 * @throws MeltemiError `USAGE` for less than 2 s.
 */
export function leaseTiming(leaseDurationMs: number): LeaseTiming {
  // Also what is no number.
  if (!(leaseDurationMs >= MIN_LEASE_DURATION_MS)) {
    throw new MeltemiError(
      'USAGE',
      `Cannot use lease-duration ${leaseDurationMs} ms: it must be ${MIN_LEASE_DURATION_MS / 1000}s or more; the default is 15s`,
    );
  }
  return {
    leaseDurationMs,
    renewDeadlineMs: (leaseDurationMs * 2) / 3,
    retryMs: Math.min(2_000, leaseDurationMs / 6),
  };
}

/** What {@link createLeadership} works with. */
export interface LeadershipOptions {
  readonly client: Pick<KubeClient, 'find' | 'create' | 'update'>;
  readonly lease: ObjectKey;
  /** Who asks; unique among the replicas. */
  readonly identity: string;
  readonly revision?: { readonly name: string; readonly isPreferred: boolean };
  readonly timing: LeaseTiming;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** What one replica of several does on behalf of all. */
export interface Leadership {
  /** Takes part in the election until the signal aborts; the lease is released then. */
  run(signal: AbortSignal): Promise<void>;
  /** Whether this replica leads at this moment. */
  readonly isLeading: boolean;
  /**
   * Does something in each term of this replica, until the signal aborts.
   *
   * @param work Its signal aborts at the end of the term too; it has to end soon after. What it throws is logged.
   */
  whileLeading(signal: AbortSignal, work: (signal: AbortSignal) => Promise<void>): Promise<void>;
}

interface Term {
  readonly signal: AbortSignal;
  /** Work in hand: the next leader must not find this one still writing. */
  readonly works: Set<Promise<void>>;
}

/** Prepares the election for one Lease; nothing is asked before `run`. */
export function createLeadership(options: LeadershipOptions): Leadership {
  const { log } = options;
  let term: Term | undefined;
  let begun = Promise.withResolvers<Term>();

  const lead = async (signal: AbortSignal): Promise<void> => {
    const current: Term = { signal, works: new Set() };
    term = current;
    begun.resolve(current);
    await untilAborted(signal);
    term = undefined;
    begun = Promise.withResolvers<Term>();
    await Promise.all(current.works);
  };

  return {
    run: (signal) => runLeaderElection({ ...options, lead }, signal),
    get isLeading() {
      return term !== undefined;
    },
    async whileLeading(signal, work) {
      while (!signal.aborted) {
        const next = term ?? (await Promise.race([begun.promise, untilAborted(signal)]));
        if (next === undefined || signal.aborted) return;
        const both = AbortSignal.any([signal, next.signal]);
        const working = work(both).catch((error: unknown) => {
          if (!both.aborted) log.error('A duty of the leader failed', { error: messageOf(error) });
        });
        next.works.add(working);
        await Promise.all([working, untilAborted(both)]);
        next.works.delete(working);
      }
    },
  };
}
