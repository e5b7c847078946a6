import { sha256Hex } from '@meltemi/base';
import type { EventObject } from './kinds/core.ts';
import { EVENTS } from './resources.ts';
import type { KubeClient } from './types.ts';

/** Who writes: the control plane, by Istio's name. */
const COMPONENT = 'istiod';
/** Kubernetes refuses longer ones. */
const MAX_MESSAGE_LENGTH = 1024;

/** What is told, and of which object. */
export interface WarningEvent {
  readonly involvedObject: EventObject['involvedObject'];
  /** Where the Event is kept: the object's own namespace, or for a namespace that itself. */
  readonly namespace: string;
  /** One word for programs. */
  readonly reason: string;
  /** What is over 1,024 characters is cut off. */
  readonly message: string;
  /** What is the same for tellings of the same thing: these are one Event, however often they are written. */
  readonly sameness: string;
  readonly nowMs: number;
}

/**
 * Writes an Event of type Warning, as the control plane.
 *
 * @throws KubeError when the API server does not take it.
 */
export async function writeWarningEvent(client: Pick<KubeClient, 'apply'>, told: WarningEvent): Promise<void> {
  const { involvedObject, namespace, reason, message, sameness, nowMs } = told;
  // Events have whole seconds.
  const now = `${new Date(nowMs).toISOString().slice(0, 19)}Z`;
  const event: EventObject = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${involvedObject.name}.${sha256Hex(sameness).slice(0, 16)}`, namespace },
    involvedObject,
    type: 'Warning',
    reason,
    message: message.slice(0, MAX_MESSAGE_LENGTH),
    count: 1,
    firstTimestamp: now,
    lastTimestamp: now,
    source: { component: COMPONENT },
    reportingComponent: COMPONENT,
  };
  await client.apply(EVENTS, event, { fieldManager: COMPONENT });
}
