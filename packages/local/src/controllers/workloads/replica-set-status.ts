import { isPodReady, type Pod, type ReplicaSet, type ReplicaSetStatus } from '@meltemi/kube';
import { kubeTime, withCondition, withoutCondition } from './conditions.ts';

/** When the pod will have been ready for long enough, Unix milliseconds; `undefined` while it is not ready. */
export function availableAtMs(pod: Pod, minReadySeconds: number): number | undefined {
  if (!isPodReady(pod)) return undefined;
  const ready = pod.status?.conditions?.find(({ type }) => type === 'Ready');
  const sinceMs = Date.parse(ready?.lastTransitionTime ?? '');
  return Number.isNaN(sinceMs) ? 0 : sinceMs + minReadySeconds * 1000;
}

/**
 * The status that a ReplicaSet's pods give it.
 *
 * @param pods Its pods that are neither terminal nor being deleted.
 * @param failure Why the last pod could not be created, if so.
 */
export function replicaSetStatus(
  replicaSet: ReplicaSet,
  pods: readonly Pod[],
  { nowMs, failure }: { readonly nowMs: number; readonly failure: string | undefined },
): ReplicaSetStatus {
  const { spec, status, metadata } = replicaSet;
  const templateLabels = Object.entries(spec.template.metadata?.labels ?? {});
  const isAvailable = (pod: Pod): boolean => {
    // Without a minimum the kubelet's word counts, whatever the clocks say.
    if ((spec.minReadySeconds ?? 0) === 0) return isPodReady(pod);
    return (availableAtMs(pod, spec.minReadySeconds ?? 0) ?? Number.POSITIVE_INFINITY) <= nowMs;
  };
  const before = status?.conditions ?? [];
  const conditions =
    failure === undefined
      ? withoutCondition(before, 'ReplicaFailure')
      : withCondition(
          before,
          { type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate', message: failure },
          kubeTime(nowMs),
        );
  return {
    replicas: pods.length,
    fullyLabeledReplicas: pods.filter(({ metadata: { labels } }) =>
      templateLabels.every(([name, value]) => labels?.[name] === value),
    ).length,
    readyReplicas: pods.filter(isPodReady).length,
    availableReplicas: pods.filter(isAvailable).length,
    observedGeneration: metadata.generation ?? 0,
    ...(conditions.length === 0 ? {} : { conditions }),
  };
}
