import { formatFinding, type KubernetesObject } from '@meltemi/api';
import { type Clock, type Log, messageOf } from '@meltemi/base';
import { type KubeClient, writeWarningEvent } from '@meltemi/kube';
import type { RejectedConfig } from './config-store.ts';

/** What {@link writeRejectionEvent} writes with. */
export interface RejectionEventOptions {
  readonly client: Pick<KubeClient, 'apply'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** The `reason` of such Events. */
export const REJECTED_REASON = 'ConfigRejected';

/** Tells a resource's owner in its own namespace, by an Event, that a version was not taken. */
export async function writeRejectionEvent(
  rejection: RejectedConfig,
  object: KubernetesObject,
  { client, clock, log }: RejectionEventOptions,
): Promise<void> {
  const { kind, namespace, name } = rejection.key;
  const problems = rejection.findings.map(formatFinding);
  const state = rejection.servesPrevious ? 'the previous version stays in force' : 'it has no effect';
  try {
    await writeWarningEvent(client, {
      involvedObject: {
        apiVersion: object.apiVersion,
        kind,
        namespace,
        name,
        ...(object.metadata.uid === undefined ? {} : { uid: object.metadata.uid }),
        resourceVersion: rejection.resourceVersion,
      },
      namespace,
      reason: REJECTED_REASON,
      message: `${kind} was not taken, ${state}: ${problems.join('; ')}`,
      // However often a version is read.
      sameness: `${kind}/${rejection.resourceVersion}`,
      nowMs: clock.nowMs(),
    });
  } catch (error) {
    log.warn('Cannot write an Event', { object: `${kind}/${namespace}/${name}`, error: messageOf(error) });
  }
}
