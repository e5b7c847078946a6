import type { KubeClient, KubeObject, Pod } from '@meltemi/kube';
import { CommandError, EXIT } from './exit-code.ts';
import { askControlPlane, controlPlanePods } from './mesh-request.ts';
import type { Session } from './session.ts';

/** API groups whose objects the control plane turns into proxy configuration. */
const MESH_GROUPS: ReadonlySet<string> = new Set(['networking.istio.io', 'security.istio.io']);

/** A change that was written and must now reach the proxies. */
export interface WrittenChange {
  readonly object: KubeObject;
  readonly deleted: boolean;
}

/** Whether proxies get to know of this object at all. */
export function isMeshObject(object: KubeObject): boolean {
  return MESH_GROUPS.has(object.apiVersion.split('/')[0] as string);
}

interface DistributionAnswer {
  readonly ok: boolean;
  /** Proxies that have not acknowledged the change yet. */
  readonly lagging: readonly string[];
  readonly error?: string;
}

/** What the answer itself may take, beyond the time that the control plane is told to wait. */
const ANSWER_MS = 2_000;

/** Asks a control-plane pod to wait; one that hangs is an answer, too. */
async function askForDistribution(
  client: KubeClient,
  pod: Pod,
  query: URLSearchParams,
  timeoutMs: number,
): Promise<DistributionAnswer> {
  const waitMs = Math.max(1_000, timeoutMs);
  query.set('timeout', `${Math.ceil(waitMs / 1000)}s`);
  const deadline = AbortSignal.timeout(waitMs + ANSWER_MS);
  try {
    return await askControlPlane(client, pod, `/debug/distribution?${query.toString()}`, deadline);
  } catch (error) {
    if (!deadline.aborted) throw error;
    return { ok: false, lagging: [], error: `control-plane pod ${pod.metadata.name} does not answer` };
  }
}

/**
 * Waits until every proxy that a change concerns has acknowledged it.
 *
 * @param timeoutMs Deadline for all changes together.
 * @throws CommandError failed, naming who lags, when the deadline passes.
 */
export async function waitForDistribution(
  session: { readonly controlPlane: Pick<Session['controlPlane'], 'client'> },
  changes: readonly WrittenChange[],
  timeoutMs: number,
  nowMs: () => number,
): Promise<void> {
  const { client } = session.controlPlane;
  const deadlineMs = nowMs() + timeoutMs;
  for (const pod of await controlPlanePods(client)) {
    for (const { object, deleted } of changes) {
      const query = new URLSearchParams({
        resource: `${object.kind}/${object.metadata.namespace ?? ''}/${object.metadata.name}`,
        ...(object.metadata.resourceVersion === undefined ? {} : { resourceVersion: object.metadata.resourceVersion }),
        ...(deleted ? { deleted: 'true' } : {}),
      });
      const answer = await askForDistribution(client, pod, query, deadlineMs - nowMs());
      if (answer.ok) continue;
      const who =
        answer.lagging.length === 0
          ? 'the control plane has not taken the change in'
          : `not acknowledged by ${answer.lagging.join(', ')}`;
      throw new CommandError(
        EXIT.failed,
        `${object.kind} ${object.metadata.name} is ${deleted ? 'deleted, but not everywhere' : 'stored, but not distributed'} after ${timeoutMs / 1000} s: ${answer.error ?? who}; see "meltemi proxy-status"`,
      );
    }
  }
}

/** Waits until every connected proxy has acknowledged the newest configuration. @throws CommandError as above. */
export async function waitForEverything(session: Session, timeoutMs: number): Promise<void> {
  const { client } = session.controlPlane;
  for (const pod of await controlPlanePods(client)) {
    const answer = await askForDistribution(client, pod, new URLSearchParams(), timeoutMs);
    if (!answer.ok)
      throw new CommandError(
        EXIT.failed,
        `Configuration is not distributed after ${timeoutMs / 1000} s: ${answer.error ?? `not acknowledged by ${answer.lagging.join(', ')}`}; see "meltemi proxy-status"`,
      );
  }
}
