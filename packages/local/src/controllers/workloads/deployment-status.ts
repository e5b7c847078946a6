import type { Deployment, DeploymentStatus, ReplicaSet, WorkloadCondition } from '@meltemi/kube';
import { kubeTime, withCondition, withoutCondition } from './conditions.ts';
import { resolveBounds } from './rollout-plan.ts';

const DEFAULT_PROGRESS_DEADLINE_SECONDS = 600;

type Count = 'replicas' | 'readyReplicas' | 'availableReplicas';

function total(replicaSets: readonly ReplicaSet[], count: Count): number {
  return replicaSets.reduce((sum, { status }) => sum + (status?.[count] ?? 0), 0);
}

/** When the rollout counts as stuck, Unix milliseconds; `undefined` when it is not in progress. */
export function progressDeadlineMs(deployment: Deployment, status: DeploymentStatus): number | undefined {
  const progressing = status.conditions?.find(({ type }) => type === 'Progressing');
  if (progressing?.status !== 'True' || progressing.reason === 'NewReplicaSetAvailable') return undefined;
  const seconds = deployment.spec.progressDeadlineSeconds ?? DEFAULT_PROGRESS_DEADLINE_SECONDS;
  return Date.parse(progressing.lastUpdateTime ?? '') + seconds * 1000;
}

/** What a Deployment's status follows from. */
export interface DeploymentStatusInput {
  readonly deployment: Deployment;
  /** Absent while the Deployment is paused and its template has no ReplicaSet. */
  readonly current: ReplicaSet | undefined;
  readonly previous: readonly ReplicaSet[];
  readonly nowMs: number;
}

function progressCondition(
  { deployment, current, nowMs }: DeploymentStatusInput,
  counts: DeploymentStatus,
): WorkloadCondition | undefined {
  const { spec, status: before, metadata } = deployment;
  const { replicas: wanted = 1 } = spec;
  const type = 'Progressing';
  if (spec.paused === true) {
    return { type, status: 'Unknown', reason: 'DeploymentPaused', message: 'Deployment is paused' };
  }
  const { updatedReplicas = 0, availableReplicas = 0, replicas = 0, readyReplicas = 0 } = counts;
  if (updatedReplicas === wanted && replicas === wanted && availableReplicas >= wanted) {
    const message = `ReplicaSet "${current?.metadata.name}" has successfully progressed.`;
    return { type, status: 'True', reason: 'NewReplicaSetAvailable', message };
  }
  const hasMoved =
    before?.observedGeneration !== metadata.generation ||
    updatedReplicas > (before?.updatedReplicas ?? 0) ||
    readyReplicas > (before?.readyReplicas ?? 0) ||
    availableReplicas > (before?.availableReplicas ?? 0) ||
    replicas - updatedReplicas < (before?.replicas ?? 0) - (before?.updatedReplicas ?? 0);
  const message = `ReplicaSet "${current?.metadata.name}" is progressing.`;
  // The time of the last movement is this condition's update time, so a movement writes it anew.
  if (hasMoved) {
    return { type, status: 'True', reason: 'ReplicaSetUpdated', message, lastUpdateTime: kubeTime(nowMs) };
  }
  const deadlineMs = progressDeadlineMs(deployment, before ?? {});
  if (deadlineMs !== undefined && nowMs >= deadlineMs) {
    const timedOut = `ReplicaSet "${current?.metadata.name}" has timed out progressing.`;
    return { type, status: 'False', reason: 'ProgressDeadlineExceeded', message: timedOut };
  }
  return undefined;
}

/** The status that its ReplicaSets give a Deployment; `kubectl rollout status` reads it. */
export function deploymentStatus(input: DeploymentStatusInput): DeploymentStatus {
  const { deployment, current, previous, nowMs } = input;
  const { replicas: wanted = 1 } = deployment.spec;
  const all = current === undefined ? previous : [...previous, current];
  const availableReplicas = total(all, 'availableReplicas');
  const replicas = total(all, 'replicas');
  const counts = {
    observedGeneration: deployment.metadata.generation ?? 0,
    replicas,
    updatedReplicas: current === undefined ? 0 : total([current], 'replicas'),
    readyReplicas: total(all, 'readyReplicas'),
    availableReplicas,
    unavailableReplicas: Math.max(0, Math.max(wanted, replicas) - availableReplicas),
  };
  const now = kubeTime(nowMs);
  const isAvailable = availableReplicas >= wanted - resolveBounds(deployment).maxUnavailable;
  let conditions = withCondition(
    deployment.status?.conditions ?? [],
    isAvailable
      ? {
          type: 'Available',
          status: 'True',
          reason: 'MinimumReplicasAvailable',
          message: 'Deployment has minimum availability.',
        }
      : {
          type: 'Available',
          status: 'False',
          reason: 'MinimumReplicasUnavailable',
          message: 'Deployment does not have minimum availability.',
        },
    now,
  );
  const progress = progressCondition(input, counts);
  if (progress !== undefined) {
    conditions = withCondition(conditions, progress, now).map((condition) =>
      condition.type === 'Progressing' && progress.lastUpdateTime !== undefined
        ? { ...condition, lastUpdateTime: progress.lastUpdateTime }
        : condition,
    );
  }
  const failure = current?.status?.conditions?.find(({ type }) => type === 'ReplicaFailure');
  conditions =
    failure === undefined ? withoutCondition(conditions, 'ReplicaFailure') : withCondition(conditions, failure, now);
  return { ...counts, conditions };
}
