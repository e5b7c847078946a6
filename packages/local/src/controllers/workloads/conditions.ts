import type { WorkloadCondition } from '@meltemi/kube';

/** RFC 3339 without fractions, as API objects carry it. */
export function kubeTime(unixMs: number): string {
  return new Date(unixMs).toISOString().replace(/\.\d+Z$/, 'Z');
}

/** Conditions with one of them set; its transition time changes only when its status does. */
export function withCondition(
  conditions: readonly WorkloadCondition[],
  next: Pick<WorkloadCondition, 'type' | 'status' | 'reason' | 'message'>,
  now: string,
): readonly WorkloadCondition[] {
  const present = conditions.find(({ type }) => type === next.type);
  if (present?.status === next.status && present.reason === next.reason && present.message === next.message) {
    return conditions;
  }
  const lastTransitionTime = present?.status === next.status ? (present.lastTransitionTime ?? now) : now;
  const updated = { ...next, lastUpdateTime: now, lastTransitionTime };
  return present === undefined
    ? [...conditions, updated]
    : conditions.map((condition) => (condition === present ? updated : condition));
}

/** Conditions without the one of a type. */
export function withoutCondition(conditions: readonly WorkloadCondition[], type: string): readonly WorkloadCondition[] {
  return conditions.some((condition) => condition.type === type)
    ? conditions.filter((condition) => condition.type !== type)
    : conditions;
}
