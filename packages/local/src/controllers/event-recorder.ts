import { type Clock, type Log, messageOf, sha256Hex } from '@meltemi/base';
import { EVENTS, type EventObject, isNotFound, type KubeClient, type KubeObject } from '@meltemi/kube';

/** Something that happened to an object and that its owner should know. */
export interface RecordedEvent {
  readonly about: KubeObject;
  readonly type: 'Normal' | 'Warning';
  /** One word in CamelCase: `FailedCreate`. */
  readonly reason: string;
  readonly message: string;
}

/** Where events go, and in whose name. */
export interface EventRecorderOptions {
  readonly client: Pick<KubeClient, 'find' | 'create' | 'patch'>;
  /** Shown by `kubectl describe` as the event's source. */
  readonly component: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** Writes events that `kubectl describe` and `kubectl get events` show. */
export interface EventRecorder {
  /** Never rejects: an event that cannot be written is logged. Equal events are counted, not repeated. */
  record(event: RecordedEvent): Promise<void>;
}

/** Length that the API allows for a message. */
const MAX_MESSAGE_CHARACTERS = 1024;

/** Creates the recorder of one component. */
export function createEventRecorder({ client, component, clock, log }: EventRecorderOptions): EventRecorder {
  const write = async ({ about, type, reason, message }: RecordedEvent): Promise<void> => {
    const { name, namespace = 'default', uid = '', resourceVersion } = about.metadata;
    // A name made of the content finds the earlier event of the same kind again, also after a restart.
    const hash = sha256Hex([uid, type, reason, message].join('\n')).slice(0, 16);
    const key = { namespace, name: `${name}.${hash}` };
    const now = new Date(clock.nowMs()).toISOString().replace(/\.\d+Z$/, 'Z');
    const present = await client.find(EVENTS, key);
    if (present !== undefined) {
      const body = { count: (present.count ?? 1) + 1, lastTimestamp: now };
      await client.patch(EVENTS, key, { type: 'merge', body });
      return;
    }
    const event: EventObject = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: key,
      involvedObject: {
        apiVersion: about.apiVersion,
        kind: about.kind,
        name,
        namespace,
        uid,
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      },
      type,
      reason,
      message: message.slice(0, MAX_MESSAGE_CHARACTERS),
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
      source: { component },
      reportingComponent: component,
      reportingInstance: component,
    };
    await client.create(EVENTS, event);
  };
  return {
    async record(event) {
      try {
        await write(event);
      } catch (error) {
        // The namespace went away meanwhile: nobody is left to read the event.
        if (isNotFound(error)) return;
        log.warn('Cannot write an event', { reason: event.reason, event: event.message, error: messageOf(error) });
      }
    },
  };
}
