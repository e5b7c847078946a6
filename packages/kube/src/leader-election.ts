import { type Clock, type Log, messageOf, type Random, sleep } from '@meltemi/base';
import { isAlreadyExists, isConflict } from './errors.ts';
import type { Lease } from './kinds/lease.ts';
import { keyText, LEASES } from './resources.ts';
import type { KubeClient, ObjectKey } from './types.ts';

/** How long a holder that stays silent keeps the lease. */
const LEASE_DURATION_MS = 15_000;
/** A holder that cannot renew for this long steps down; shorter than the lease, so two never lead at once. */
const RENEW_DEADLINE_MS = 10_000;
const RETRY_MS = 2_000;

/** Who takes part in an election, for which Lease, to do what. */
export interface LeaderElectionOptions {
  readonly client: Pick<KubeClient, 'find' | 'create' | 'update'>;
  /** Name and namespace of the Lease. */
  readonly lease: ObjectKey;
  /** Who asks; unique among the candidates. */
  readonly identity: string;
  /**
   * Runs while this candidate leads. Its signal aborts when leadership is lost or the election is stopped; it should
   * return soon after. Returning earlier, or failing, gives leadership up.
   */
  readonly lead: (signal: AbortSignal) => Promise<void>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Default 15 s, 10 s and 2 s. */
  readonly timing?: LeaseTiming;
  /**
   * Which revision of the control plane asks. A preferred one takes the lease over from any other revision, so that
   * duties which revisions share are done by the one that is the default. Absent: all candidates are alike.
   */
  readonly revision?: { readonly name: string; readonly isPreferred: boolean };
}

/** How patient the candidates of an election are. */
export interface LeaseTiming {
  /** How long a holder that stays silent keeps the lease. */
  readonly leaseDurationMs: number;
  /** A holder that cannot renew for this long steps down; shorter than the lease, so two never lead at once. */
  readonly renewDeadlineMs: number;
  /** Pause between two renewals, or between two looks at another's lease. */
  readonly retryMs: number;
}

interface Held {
  readonly lease: Lease;
  /** When the write that took it was sent. */
  readonly sentMs: number;
}

/** Label of a Lease: the revision of its holder. */
const REVISION_LABEL = 'istio.io/rev';

/** RFC 3339 with microseconds, which Lease demands. */
function microTime(unixMs: number): string {
  return new Date(unixMs).toISOString().replace(/Z$/, '000Z');
}

/**
 * Takes part in an election until the signal aborts, and then releases the lease.
 *
 * Whether a foreign lease has run out is judged by how long *we* have seen it unchanged, never by comparing clocks
 * of two machines.
 */
export async function runLeaderElection(options: LeaderElectionOptions, signal: AbortSignal): Promise<void> {
  const { client, lease: key, identity, clock, random, log, revision } = options;
  const labels = revision === undefined ? {} : { labels: { [REVISION_LABEL]: revision.name } };
  const { leaseDurationMs, renewDeadlineMs, retryMs } = options.timing ?? {
    leaseDurationMs: LEASE_DURATION_MS,
    renewDeadlineMs: RENEW_DEADLINE_MS,
    retryMs: RETRY_MS,
  };
  let seen:
    | { readonly resourceVersion: string | undefined; readonly sinceMs: number; readonly durationMs: number }
    | undefined;

  const spec = (acquireTime: string, transitions: number): NonNullable<Lease['spec']> => ({
    holderIdentity: identity,
    leaseDurationSeconds: Math.max(1, Math.ceil(leaseDurationMs / 1000)),
    acquireTime,
    renewTime: microTime(clock.nowMs()),
    leaseTransitions: transitions,
  });

  const isFree = (lease: Lease): boolean => {
    const holder = lease.spec?.holderIdentity ?? '';
    if (holder === '' || holder === identity) return true;
    if (revision?.isPreferred === true && lease.metadata.labels?.[REVISION_LABEL] !== revision.name) return true;
    const { resourceVersion } = lease.metadata;
    if (seen === undefined || seen.resourceVersion !== resourceVersion) {
      const durationMs = (lease.spec?.leaseDurationSeconds ?? 0) * 1000 || leaseDurationMs;
      seen = { resourceVersion, sinceMs: clock.monotonicMs(), durationMs };
    }
    return clock.monotonicMs() - seen.sinceMs >= seen.durationMs;
  };

  /** @returns The lease when it is ours now. The term counts from the sending: others may have seen the write long before its answer is here. */
  const tryAcquire = async (): Promise<Held | undefined> => {
    const call = { signal, timeoutMs: renewDeadlineMs };
    const now = microTime(clock.nowMs());
    try {
      const present = await client.find(LEASES, key, call);
      if (present === undefined) {
        const metadata = { ...key, ...labels };
        const fresh = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec: spec(now, 0) };
        const sentMs = clock.monotonicMs();
        return { lease: await client.create(LEASES, fresh as Lease, call), sentMs };
      }
      if (!isFree(present)) return undefined;
      const transitions = (present.spec?.leaseTransitions ?? 0) + (present.spec?.holderIdentity === identity ? 0 : 1);
      const metadata = { ...present.metadata, ...labels };
      const sentMs = clock.monotonicMs();
      return {
        lease: await client.update(LEASES, { ...present, metadata, spec: spec(now, transitions) }, call),
        sentMs,
      };
    } catch (error) {
      if (isConflict(error) || isAlreadyExists(error)) return undefined;
      throw error;
    }
  };

  /** Renews until that fails for too long, the lease is taken away, or `until` aborts. @returns The last lease held. */
  const renewUntil = async (first: Held, until: AbortSignal): Promise<Lease | undefined> => {
    let held = first.lease;
    let renewedMs = first.sentMs;
    const leftMs = (): number => renewedMs + renewDeadlineMs - clock.monotonicMs();
    for (;;) {
      // The answer that began leadership may have come so late that the deadline is near.
      await sleep(clock, Math.max(retryMs / 10, Math.min(retryMs, leftMs() / 2)), until);
      if (until.aborted) return held;
      const sentMs = clock.monotonicMs();
      try {
        const next = { ...held, spec: { ...held.spec, renewTime: microTime(clock.nowMs()) } };
        held = await client.update(LEASES, next, { signal: until, timeoutMs: retryMs });
        renewedMs = sentMs;
      } catch (error) {
        if (until.aborted) return held;
        if (isConflict(error) && leftMs() > 0) {
          const call = { signal: until, timeoutMs: Math.min(retryMs, leftMs()) };
          const present = await client.find(LEASES, key, call).catch(() => undefined);
          if (present !== undefined && present.spec?.holderIdentity !== identity) return undefined;
          if (present !== undefined) held = present;
        }
        if (leftMs() > 0) continue;
        log.warn(`Lost the lease ${keyText(key)}: it could not be renewed`, { error: messageOf(error) });
        return undefined;
      }
    }
  };

  const release = async (held: Lease): Promise<void> => {
    try {
      await client.update(LEASES, { ...held, spec: { ...held.spec, holderIdentity: '' } }, { timeoutMs: retryMs });
    } catch (error) {
      log.info(`Could not release the lease ${keyText(key)}; it runs out by itself`, { error: messageOf(error) });
    }
  };

  while (!signal.aborted) {
    const held = await tryAcquire().catch((error: unknown) => {
      if (!signal.aborted)
        log.warn(`Cannot take the lease ${keyText(key)}; will try again`, { error: messageOf(error) });
      return undefined;
    });
    if (held !== undefined) {
      log.info(`Leading by the lease ${keyText(key)}`, { identity });
      const ended = new AbortController();
      const leading = options
        .lead(AbortSignal.any([signal, ended.signal]))
        .catch((error: unknown) => log.error('The leading task failed', { error: messageOf(error) }))
        .finally(() => ended.abort());
      const last = await renewUntil(held, AbortSignal.any([signal, ended.signal]));
      ended.abort();
      await leading;
      if (last !== undefined) await release(last);
    }
    // A little spread keeps candidates that started together from colliding for ever.
    await sleep(clock, retryMs * (1 + 0.2 * random()), signal);
  }
}
