import { formatFinding, type KubernetesObject } from '@meltemi/api';
import { type Clock, type Log, messageOf, sha256Hex } from '@meltemi/base';
import { EVENTS, type EventObject, type KubeClient } from '@meltemi/kube';
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
  const now = `${new Date(clock.nowMs()).toISOString().slice(0, 19)}Z`;
  const problems = rejection.findings.map(formatFinding);
  const state = rejection.servesPrevious ? 'the previous version stays in force' : 'it has no effect';
  const event: EventObject = {
    apiVersion: 'v1',
    kind: 'Event',
    // One Event for each version, however often it is read.
    metadata: { name: `${name}.${sha256Hex(`${kind}/${rejection.resourceVersion}`).slice(0, 16)}`, namespace },
    involvedObject: {
      apiVersion: object.apiVersion,
      kind,
      namespace,
      name,
      ...(object.metadata.uid === undefined ? {} : { uid: object.metadata.uid }),
      resourceVersion: rejection.resourceVersion,
    },
    type: 'Warning',
    reason: REJECTED_REASON,
    message: `${kind} was not taken, ${state}: ${problems.join('; ')}`.slice(0, 1024),
    count: 1,
    firstTimestamp: now,
    lastTimestamp: now,
    source: { component: 'istiod' },
    reportingComponent: 'istiod',
  };
  try {
    await client.apply(EVENTS, event, { fieldManager: 'istiod' });
  } catch (error) {
    log.warn('Cannot write an Event', { object: `${kind}/${namespace}/${name}`, error: messageOf(error) });
  }
}
