import type { Clock, ClockTimer, Log } from '@meltemi/base';
import type { TypeRegistry } from './kinds/type-registry.ts';
import { memberAt, textOf } from './objects/json-value.ts';
import type { KubeObject } from './objects/kube-object.ts';
import type { ObjectStore } from './store/object-store.ts';

interface StoreDutiesOptions {
  readonly store: ObjectStore;
  readonly types: TypeRegistry;
  readonly clock: Clock;
  readonly log: Log;
}

const CRDS = 'apiextensions.k8s.io/customresourcedefinitions';
const EVENT_LIFETIME_MS = 60 * 60_000;
const MAX_EVENTS = 5000;
const SWEEP_INTERVAL_MS = 60_000;

/**
 * What the server does by itself when objects change: serves the kinds of CustomResourceDefinitions, gives waiting pods the
 * first node, and lets old Events go.
 */
export function startStoreDuties({ store, types, clock, log }: StoreDutiesOptions): { stop(): void } {
  /** The objects of a kind go with its definition. */
  function dropInstances(crd: KubeObject): void {
    const resource = `${textOf(crd.spec?.['group'])}/${textOf(memberAt(crd, 'spec', 'names', 'plural'))}`;
    for (const { object, revision } of store.list(resource)) store.remove(resource, object, revision);
  }

  for (const { object } of store.list(CRDS)) types.setCustom(object);
  const stopCrds = store.watch(CRDS, store.revision(), (event) => {
    const crd = event.current.object;
    if (event.type !== 'DELETED') return types.setCustom(crd);
    types.removeCustom(crd.metadata.name);
    dropInstances(crd);
  });

  const stopNodes = store.watch('core/nodes', store.revision(), (event) => {
    if (event.type !== 'ADDED') return;
    for (const { object: pod, revision } of store.list('core/pods'))
      if (textOf(pod.spec?.['nodeName']) === '')
        store.update(
          'core/pods',
          { ...pod, spec: { ...pod.spec, nodeName: event.current.object.metadata.name } },
          revision,
        );
  });

  function sweepEvents(): void {
    const events = store.list('core/events').sort((left, right) => left.revision - right.revision);
    const oldestKept = events.length - MAX_EVENTS;
    for (const [index, { object, revision }] of events.entries()) {
      const lastSeen = Date.parse(
        textOf(object['lastTimestamp']) || textOf(object['eventTime']) || object.metadata.creationTimestamp,
      );
      if (index < oldestKept || lastSeen < clock.nowMs() - EVENT_LIFETIME_MS)
        store.remove('core/events', object, revision);
    }
    store.durable().catch((error: unknown) => log.error('Cannot let old events go', { error }));
    sweep = clock.setTimer(sweepEvents, SWEEP_INTERVAL_MS);
  }
  let sweep: ClockTimer = clock.setTimer(sweepEvents, SWEEP_INTERVAL_MS);

  return {
    stop() {
      stopCrds?.();
      stopNodes?.();
      sweep.cancel();
    },
  };
}
