import type { ContainerRecord, PodRecord } from './pod-records.ts';

/** What is to be done next for a pod. */
export interface PodPlan {
  /** Containers to start now, in this order. */
  readonly start: readonly string[];
  /** Look again at this time, when nothing happens before: a back-off ends then. */
  readonly wakeAtMs?: number;
  /** The pod has run to its end. */
  readonly finished?: 'Succeeded' | 'Failed';
}

/** The record and the moment that a plan is made for. */
export interface PodPlanInput {
  readonly record: PodRecord;
  readonly restartPolicy: 'Always' | 'OnFailure' | 'Never';
  readonly nowMs: number;
}

/** Whether a container that does not run is to be run (again). */
function isWanted({ role, end }: ContainerRecord, restartPolicy: PodPlanInput['restartPolicy']): boolean {
  if (end === undefined || role === 'sidecar') return true;
  if (role === 'init') return end.exitCode !== 0 && restartPolicy !== 'Never';
  return restartPolicy === 'Always' || (restartPolicy === 'OnFailure' && end.exitCode !== 0);
}

/**
 * Decides which containers of a pod to start, in Kubernetes' order: init containers one after the other, a sidecar
 * until it has started, then all app containers; a container that ended starts again as the restart policy says.
 */
export function planPod({ record, restartPolicy, nowMs }: PodPlanInput): PodPlan {
  const start: string[] = [];
  let wakeAtMs = Number.POSITIVE_INFINITY;
  const schedule = (container: ContainerRecord): void => {
    if (container.retryAtMs <= nowMs) start.push(container.name);
    else wakeAtMs = Math.min(wakeAtMs, container.retryAtMs);
  };
  const plan = (): PodPlan => ({ start, ...(Number.isFinite(wakeAtMs) ? { wakeAtMs } : {}) });

  for (const container of record.containers) {
    const { role, run, end } = container;
    if (role === 'sidecar') {
      if (run === undefined) schedule(container);
      if (!record.initialized && run?.started !== true) return plan();
    }
    if (role !== 'init' || record.initialized) continue;
    if (run !== undefined) return plan();
    if (end?.exitCode === 0) continue;
    if (!isWanted(container, restartPolicy)) return { start: [], finished: 'Failed' };
    schedule(container);
    return plan();
  }
  const apps = record.containers.filter(({ role }) => role === 'app');
  for (const app of apps) if (app.run === undefined && isWanted(app, restartPolicy)) schedule(app);
  const isOver = apps.every((app) => app.run === undefined && app.end !== undefined && !isWanted(app, restartPolicy));
  if (isOver) return { start: [], finished: apps.every(({ end }) => end?.exitCode === 0) ? 'Succeeded' : 'Failed' };
  return plan();
}
