import { type Clock, type createTaskOwner, type Log, messageOf } from '@meltemi/base';
import { formatRight, type KubeClient, type MissingRight, writeWarningEvent } from '@meltemi/kube';
import type { ControlPlaneSettings } from '../options.ts';

/** A right that was not asked for again for this long is no longer said to be missing; what follows objects asks sooner. */
const FORGET_MS = 90_000;
/** More are not told: whoever lacks so many lacks all, and reads it from these. */
const MAX_RIGHTS = 100;
const EVENT_REASON = 'MissingPermission';

/** What {@link createPermissions} works with. */
export interface PermissionOptions {
  readonly settings: Pick<ControlPlaneSettings, 'podName' | 'namespace'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly tasks: Pick<ReturnType<typeof createTaskOwner>, 'run'>;
}

/** Rights that the control plane needs and has been refused. */
export interface Permissions {
  /** What is to be told of refusals in one cluster. */
  observer(clusterId: string): (right: MissingRight) => void;
  /** From now on each missing right is told by an Event of this pod too. */
  tellBy(client: Pick<KubeClient, 'apply'>): void;
  /** The rights that are missing at this moment, in words. */
  missing(): readonly string[];
}

/**
 * Remembers what API servers refuse, and says it once and plainly: in the log, by an Event of the control plane's pod,
 * and in its readiness for as long as it is not ready.
 */
export function createPermissions({ settings, clock, log, tasks }: PermissionOptions): Permissions {
  const lastSeenMs = new Map<string, number>();
  let client: Pick<KubeClient, 'apply'> | undefined;

  const forgetOld = (): void => {
    for (const [words, seenMs] of lastSeenMs) {
      if (clock.monotonicMs() - seenMs > FORGET_MS) lastSeenMs.delete(words);
    }
  };
  const tell = async (words: string): Promise<void> => {
    if (client === undefined) return;
    const { podName: name, namespace } = settings;
    try {
      await writeWarningEvent(client, {
        involvedObject: { apiVersion: 'v1', kind: 'Pod', namespace, name },
        namespace,
        reason: EVENT_REASON,
        message: `The control plane may not ${words}; grant it, and work goes on by itself`,
        sameness: words,
        nowMs: clock.nowMs(),
      });
    } catch (error) {
      log.info('Cannot write an Event about the missing permission', { error: messageOf(error) });
    }
  };
  return {
    observer: (clusterId) => (right) => {
      const words = `${formatRight(right)} for ${right.user}, cluster ${clusterId}`;
      forgetOld();
      const isNew = !lastSeenMs.has(words);
      if (isNew && lastSeenMs.size >= MAX_RIGHTS) return;
      lastSeenMs.set(words, clock.monotonicMs());
      if (!isNew) return;
      log.error('The API server refuses for lack of a permission; grant it, and work goes on by itself', {
        permission: formatRight(right),
        user: right.user,
        cluster: clusterId,
      });
      // That an Event must not be written cannot be told by one.
      if (right.resource !== 'events') tasks.run('Writing an Event', () => tell(words));
    },
    tellBy(next) {
      client = next;
    },
    missing() {
      forgetOld();
      return [...lastSeenMs.keys()].toSorted();
    },
  };
}
