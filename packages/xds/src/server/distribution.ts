import type { Clock } from '@meltemi/base';
import { shortTypeName } from '../type-urls.ts';
import type { DiscoveryStreamStatus } from './discovery-stream.ts';
import type { SyncState } from './subscription.ts';

/** A client that does not have a snapshot yet, and in which type. */
export interface DistributionLaggard {
  /** `<pod>.<namespace>`. */
  readonly proxyId: string;
  readonly clusterId: string;
  /** `CDS`, `LDS`, …; `snapshot` when the client was not even told yet. */
  readonly type: string;
  readonly state: SyncState;
  /** Number of the newest snapshot that the client has accepted for this type. */
  readonly ackedNumber: number;
  /** The client's words when it rejected the last response. */
  readonly lastError: string | undefined;
}

/** Whether a snapshot reached everybody. */
export interface DistributionResult {
  readonly complete: boolean;
  /** Empty when complete. */
  readonly laggards: readonly DistributionLaggard[];
  /** How many clients were asked. */
  readonly proxyCount: number;
}

/** Names every client and type that has not accepted snapshot `number`. */
export function findLaggards(
  statuses: readonly DiscoveryStreamStatus[],
  number: number,
): { readonly laggards: readonly DistributionLaggard[]; readonly proxyCount: number } {
  const laggards: DistributionLaggard[] = [];
  for (const { client, number: sessionNumber, subscriptions } of statuses) {
    const { proxyId, clusterId } = client.node;
    if (sessionNumber < number)
      laggards.push({
        proxyId,
        clusterId,
        type: 'snapshot',
        state: 'STALE',
        ackedNumber: sessionNumber,
        lastError: undefined,
      });
    for (const { typeUrl, state, ackedNumber, lastError } of subscriptions) {
      if (ackedNumber >= number) continue;
      laggards.push({ proxyId, clusterId, type: shortTypeName(typeUrl), state, ackedNumber, lastError });
    }
  }
  return { laggards, proxyCount: statuses.length };
}

/** What a wait looks at and when. */
export interface DistributionWait {
  readonly laggards: () => ReturnType<typeof findLaggards>;
  /** Whether nobody lags; asked after every ACK of anybody, so it must be cheap. */
  readonly isComplete: () => boolean;
  /** Calls back whenever somebody may have caught up; returns how to stop that. */
  readonly onProgress: (listener: () => void) => () => void;
  readonly clock: Clock;
  readonly deadlineMs: number;
  /** Ends the wait early, with the state of that moment. */
  readonly signal?: AbortSignal | undefined;
}

/** Waits until nobody lags or the time is up. */
export function waitForDistribution(wait: DistributionWait): Promise<DistributionResult> {
  return new Promise((resolve) => {
    const finish = (): void => {
      timer.cancel();
      stop();
      wait.signal?.removeEventListener('abort', finish);
      const { laggards, proxyCount } = wait.laggards();
      resolve({ complete: laggards.length === 0, laggards, proxyCount });
    };
    const check = (): void => {
      if (wait.isComplete()) finish();
    };
    const timer = wait.clock.setTimer(finish, wait.deadlineMs);
    const stop = wait.onProgress(check);
    wait.signal?.addEventListener('abort', finish, { once: true });
    if (wait.signal?.aborted === true) finish();
    else check();
  });
}
