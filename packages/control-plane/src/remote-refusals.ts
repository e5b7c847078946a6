import { type Clock, type createTaskOwner, type Log, messageOf } from '@meltemi/base';
import { type KubeClient, writeWarningEvent } from '@meltemi/kube';
import { REFUSAL_WORDS, type RemoteRefusal } from '@meltemi/registry';

/** Events that wait to be written; more are told by the log alone. */
const MAX_WAITING = 100;
const EVENT_REASON = 'RemoteClusterRefused';

/** What {@link createRefusalEvents} works with. */
export interface RefusalEventOptions {
  readonly client: Pick<KubeClient, 'apply'>;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly log: Log;
  readonly tasks: Pick<ReturnType<typeof createTaskOwner>, 'run'>;
  readonly signal: AbortSignal;
}

/**
 * Tells of clusters that are not taken from remote Secrets by Events of these Secrets, in the words of the log: one for each
 * kubeconfig and reason, whichever replica sees it and however often. Written one after the other.
 *
 * @returns What is to be told of each refusal; those of files are passed over.
 */
export function createRefusalEvents(options: RefusalEventOptions): (refusal: RemoteRefusal) => void {
  const { log, tasks, signal } = options;
  let waiting = 0;
  let last = Promise.resolve();
  const write = async (refusal: RemoteRefusal): Promise<void> => {
    waiting -= 1;
    if (!signal.aborted) await writeRefusal(refusal, options);
  };
  return (refusal) => {
    if (refusal.holder.secret === undefined) return;
    if (waiting >= MAX_WAITING) {
      log.debug('Too many Events wait, one is left out', { cluster: refusal.id, secret: refusal.holder.name });
      return;
    }
    waiting += 1;
    last = last.then(() => write(refusal));
    tasks.run('Writing an Event', last);
  };
}

async function writeRefusal(
  { id, holder, reason, hash }: RemoteRefusal,
  { client, clock, log }: RefusalEventOptions,
): Promise<void> {
  const { namespace = '', name = '', uid } = holder.secret ?? {};
  try {
    await writeWarningEvent(client, {
      involvedObject: { apiVersion: 'v1', kind: 'Secret', namespace, name, ...(uid === undefined ? {} : { uid }) },
      namespace,
      reason: EVENT_REASON,
      message: `${REFUSAL_WORDS}: ${id}: ${reason}`,
      sameness: JSON.stringify([id, reason, hash]),
      nowMs: clock.nowMs(),
    });
  } catch (error) {
    log.info('Cannot write an Event about a remote secret', { secret: holder.name, error: messageOf(error) });
  }
}
