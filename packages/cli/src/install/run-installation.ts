import { messageOf } from '@meltemi/base';
import type { KubeClient, KubeObject } from '@meltemi/kube';
import { applyPlan, type Outcome } from './apply-plan.ts';
import { awaitInstallation } from './await-installation.ts';
import type { InstallPlan } from './install-plan.ts';
import { type InstalledObject, removeObjects } from './installed-objects.ts';

/** What {@link runInstallation} works with. */
export interface RunInstallationOptions {
  readonly client: KubeClient;
  readonly plan: InstallPlan;
  /** Left by an earlier version: what goes once the plan is applied. */
  readonly outdated: readonly InstalledObject[];
  readonly force?: boolean | undefined;
  readonly dryRun?: boolean | undefined;
  /** Absent: readiness is not waited for. */
  readonly readinessTimeoutMs?: number | undefined;
  readonly onOutcome?: ((object: KubeObject, outcome: Outcome) => void) | undefined;
  readonly onProgress: (message: string) => void;
  readonly onWarning: (message: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Installs a plan, on an empty cluster or over an earlier version: applies what it has, removes what is outdated, and
 * waits until it works.
 */
export async function runInstallation(options: RunInstallationOptions): Promise<Readonly<Record<Outcome, number>>> {
  const { client, plan, outdated, dryRun, readinessTimeoutMs, onProgress, onWarning, signal } = options;
  const counts: Record<Outcome, number> = { created: 0, configured: 0, unchanged: 0, pruned: 0 };
  const onOutcome = (object: KubeObject, outcome: Outcome): void => {
    counts[outcome] += 1;
    options.onOutcome?.(object, outcome);
  };
  await applyPlan({ client, plan, force: options.force, dryRun, onOutcome, onWarning });
  try {
    await removeObjects(client, outdated, {
      dryRun,
      onRemoved: (object) => onOutcome(object, 'pruned'),
    });
  } catch (error) {
    // The new version is in place; what is left over of the old does no harm.
    onWarning(`cannot remove what an earlier version has left: ${messageOf(error)}`);
  }
  if (dryRun !== true && readinessTimeoutMs !== undefined)
    await awaitInstallation(plan, { client, timeoutMs: readinessTimeoutMs, signal, onProgress });
  return counts;
}
