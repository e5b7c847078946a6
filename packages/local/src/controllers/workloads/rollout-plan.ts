import type { Deployment, IntOrString, ReplicaSet } from '@meltemi/kube';

/** How many pods a ReplicaSet is to have. */
export interface ScaleStep {
  readonly replicaSet: ReplicaSet;
  readonly replicas: number;
}

/** A Deployment and its ReplicaSets. */
export interface RolloutState {
  readonly deployment: Deployment;
  /** The ReplicaSet of the present template. */
  readonly current: ReplicaSet;
  /** The others, oldest first. */
  readonly previous: readonly ReplicaSet[];
}

function resolveCount(value: IntOrString, total: number, round: (count: number) => number): number {
  if (typeof value === 'number') return value;
  const percent = /^(\d+)%$/.exec(value);
  return percent === null ? Number.parseInt(value, 10) || 0 : round((Number(percent[1]) * total) / 100);
}

/** How far a rolling update may go above and below the wanted number of pods; never both 0, or nothing would move. */
export function resolveBounds(deployment: Deployment): { readonly maxSurge: number; readonly maxUnavailable: number } {
  const { replicas: wanted = 1, strategy } = deployment.spec;
  const maxSurge = resolveCount(strategy?.rollingUpdate?.maxSurge ?? '25%', wanted, Math.ceil);
  const maxUnavailable = resolveCount(strategy?.rollingUpdate?.maxUnavailable ?? '25%', wanted, Math.floor);
  return { maxSurge, maxUnavailable: maxSurge === 0 && maxUnavailable === 0 ? 1 : maxUnavailable };
}

const wantedBy = ({ spec }: ReplicaSet): number => spec.replicas ?? 1;
const availableOf = ({ status }: ReplicaSet): number => status?.availableReplicas ?? 0;
const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** Takes pods from the oldest ReplicaSets first, by what `removable` says of each. */
function shrink(
  replicaSets: readonly ReplicaSet[],
  budget: number,
  removable: (replicaSet: ReplicaSet) => number,
): readonly ScaleStep[] {
  let left = budget;
  return replicaSets.flatMap((replicaSet) => {
    const count = Math.min(left, removable(replicaSet));
    if (count <= 0) return [];
    left -= count;
    return [{ replicaSet, replicas: wantedBy(replicaSet) - count }];
  });
}

function planGrowth({ deployment, current, previous }: RolloutState): readonly ScaleStep[] {
  const wanted = deployment.spec.replicas ?? 1;
  const { maxSurge } = resolveBounds(deployment);
  const room = wanted + maxSurge - sum([current, ...previous].map(wantedBy));
  const replicas = Math.min(wanted, wantedBy(current) + Math.max(0, room));
  return replicas === wantedBy(current) ? [] : [{ replicaSet: current, replicas }];
}

function planShrinking({ deployment, current, previous }: RolloutState): readonly ScaleStep[] {
  const { maxUnavailable } = resolveBounds(deployment);
  const minAvailable = (deployment.spec.replicas ?? 1) - maxUnavailable;
  const notYetAvailable = Math.max(0, wantedBy(current) - availableOf(current));
  // Counted by what was asked for: the status may still hold pods that an earlier step gave up.
  const budget = sum([current, ...previous].map(wantedBy)) - minAvailable - notYetAvailable;
  // Pods that do not serve cost nothing, so they go first.
  const unhealthy = shrink(previous, budget, (replicaSet) =>
    Math.max(0, wantedBy(replicaSet) - availableOf(replicaSet)),
  );
  if (unhealthy.length > 0) return unhealthy;
  const available = sum([current, ...previous].map(availableOf));
  return shrink(previous, Math.min(budget, available - minAvailable), wantedBy);
}

function planRecreation({ deployment, current, previous }: RolloutState): readonly ScaleStep[] {
  const running = previous.filter((replicaSet) => wantedBy(replicaSet) > 0);
  if (running.length > 0) return running.map((replicaSet) => ({ replicaSet, replicas: 0 }));
  // The old pods must be gone, not only unwanted, before the first new one starts.
  if (previous.some(({ status }) => (status?.replicas ?? 0) > 0)) return [];
  const wanted = deployment.spec.replicas ?? 1;
  return wantedBy(current) === wanted ? [] : [{ replicaSet: current, replicas: wanted }];
}

/**
 * The next steps of a rollout: first growth, then, once there is nothing to grow, shrinking.
 *
 * @returns Nothing when the rollout is complete or must wait for pods.
 */
export function planRollout(state: RolloutState): readonly ScaleStep[] {
  if (state.deployment.spec.strategy?.type === 'Recreate') return planRecreation(state);
  const growth = planGrowth(state);
  return growth.length > 0 ? growth : planShrinking(state);
}
