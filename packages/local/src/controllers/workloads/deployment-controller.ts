import { stableJson } from '@meltemi/base';
import {
  controllerOf,
  controllerReference,
  DEPLOYMENTS,
  type Deployment,
  isAlreadyExists,
  isNotFound,
  type KubeClient,
  keyText,
  matchLabelSelector,
  type NewObject,
  parseKeyText,
  REPLICA_SETS,
  type ReplicaSet,
  type WorkQueue,
} from '@meltemi/kube';
import { type ControllerDeps, createControllerQueue, enqueueSelf, onAnyChange } from '../controller.ts';
import type { EventRecorder } from '../event-recorder.ts';
import type { Informers } from '../informers.ts';
import { claimOwned } from './claim-owned.ts';
import { deploymentStatus, progressDeadlineMs } from './deployment-status.ts';
import { planRollout, type ScaleStep } from './rollout-plan.ts';
import { TEMPLATE_HASH_LABEL, templateHash } from './template-hash.ts';

/** Counts the templates of a Deployment; `kubectl rollout history` and `undo` go by it. */
const REVISION_ANNOTATION = 'deployment.kubernetes.io/revision';

const DEFAULT_REVISION_HISTORY = 10;

/** What the Deployment controller works with. */
export interface DeploymentControllerOptions extends ControllerDeps {
  readonly client: KubeClient;
  readonly informers: Pick<Informers, 'deployments' | 'replicaSets'>;
  readonly events: EventRecorder;
}

interface Owned {
  readonly current: ReplicaSet | undefined;
  /** Oldest first. */
  readonly previous: readonly ReplicaSet[];
}

function revisionOf({ metadata }: ReplicaSet): number {
  return Number(metadata.annotations?.[REVISION_ANNOTATION] ?? '0');
}

/** Annotations of the Deployment that its ReplicaSets repeat, so that `rollout undo` can bring them back. */
function inheritedAnnotations({ metadata }: Deployment): Readonly<Record<string, string>> {
  const { 'kubectl.kubernetes.io/last-applied-configuration': _, ...annotations } = metadata.annotations ?? {};
  return annotations;
}

/** The ReplicaSet for a Deployment's present template, without pods as yet. */
function replicaSetOf(deployment: Deployment, hash: string, revision: number): NewObject<ReplicaSet> {
  const { spec, metadata } = deployment;
  const labels = { ...spec.template.metadata?.labels, [TEMPLATE_HASH_LABEL]: hash };
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `${metadata.name}-${hash}`,
      namespace: metadata.namespace ?? 'default',
      labels,
      annotations: { ...inheritedAnnotations(deployment), [REVISION_ANNOTATION]: String(revision) },
      ownerReferences: [controllerReference(DEPLOYMENTS, deployment)],
    },
    spec: {
      replicas: 0,
      minReadySeconds: spec.minReadySeconds ?? 0,
      selector: {
        ...spec.selector,
        matchLabels: { ...spec.selector.matchLabels, [TEMPLATE_HASH_LABEL]: hash },
      },
      template: { ...spec.template, metadata: { ...spec.template.metadata, labels } },
    },
  };
}

/** Brings each Deployment's pods to its template, a ReplicaSet per template. */
export function createDeploymentController(options: DeploymentControllerOptions): WorkQueue {
  const { client, informers, events, clock } = options;
  const { deployments, replicaSets } = informers;

  const readOwned = async (deployment: Deployment): Promise<Owned> => {
    const owned = await claimOwned({
      client,
      owner: deployment,
      ownerRef: DEPLOYMENTS,
      ownedRef: REPLICA_SETS,
      selector: deployment.spec.selector,
    });
    const hash = templateHash(deployment.spec.template);
    const sorted = owned.toSorted((left, right) => revisionOf(left) - revisionOf(right));
    const current = sorted.find(({ metadata }) => metadata.labels?.[TEMPLATE_HASH_LABEL] === hash);
    return { current, previous: sorted.filter((replicaSet) => replicaSet !== current) };
  };

  const createCurrent = async (deployment: Deployment, previous: readonly ReplicaSet[]): Promise<ReplicaSet> => {
    const revision = Math.max(0, ...previous.map(revisionOf)) + 1;
    const fresh = replicaSetOf(deployment, templateHash(deployment.spec.template), revision);
    try {
      return await client.create(REPLICA_SETS, fresh);
    } catch (error) {
      if (isAlreadyExists(error))
        throw new Error(`ReplicaSet ${fresh.metadata.name} exists and is not ours`, { cause: error });
      throw error;
    }
  };

  /** A template that is used again becomes the newest revision. */
  const promote = async (current: ReplicaSet, previous: readonly ReplicaSet[]): Promise<ReplicaSet> => {
    const newest = Math.max(0, ...previous.map(revisionOf));
    if (revisionOf(current) > newest) return current;
    const body = { metadata: { annotations: { [REVISION_ANNOTATION]: String(newest + 1) } } };
    return client.patch(REPLICA_SETS, current.metadata, { type: 'merge', body });
  };

  const scale = async (deployment: Deployment, { replicaSet, replicas }: ScaleStep): Promise<ReplicaSet> => {
    const before = replicaSet.spec.replicas ?? 1;
    const body = { metadata: { resourceVersion: replicaSet.metadata.resourceVersion }, spec: { replicas } };
    const scaled = await client.patch(REPLICA_SETS, replicaSet.metadata, { type: 'merge', body });
    const direction = replicas > before ? 'up' : 'down';
    await events.record({
      about: deployment,
      type: 'Normal',
      reason: 'ScalingReplicaSet',
      message: `Scaled ${direction} replica set ${replicaSet.metadata.name} from ${before} to ${replicas}`,
    });
    return scaled;
  };

  const writeRevision = async (deployment: Deployment, current: ReplicaSet): Promise<Deployment> => {
    const revision = String(revisionOf(current));
    if (deployment.metadata.annotations?.[REVISION_ANNOTATION] === revision) return deployment;
    const body = { metadata: { annotations: { [REVISION_ANNOTATION]: revision } } };
    return client.patch(DEPLOYMENTS, deployment.metadata, { type: 'merge', body });
  };

  const dropOldRevisions = async (deployment: Deployment, previous: readonly ReplicaSet[]): Promise<void> => {
    const empty = previous.filter(({ spec, status }) => spec.replicas === 0 && (status?.replicas ?? 0) === 0);
    const limit = deployment.spec.revisionHistoryLimit ?? DEFAULT_REVISION_HISTORY;
    for (const { metadata } of empty.slice(0, Math.max(0, empty.length - limit))) {
      await client.delete(REPLICA_SETS, metadata, { uid: metadata.uid }).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
    }
  };

  const writeStatus = async (key: string, deployment: Deployment, owned: Owned): Promise<void> => {
    const status = deploymentStatus({ deployment, ...owned, nowMs: clock.nowMs() });
    if (stableJson(status) !== stableJson(deployment.status ?? {})) {
      await client.update(DEPLOYMENTS, { ...deployment, status }, { subresource: 'status' });
    }
    const deadlineMs = progressDeadlineMs(deployment, status);
    if (deadlineMs !== undefined) queue.addAfter(key, Math.max(0, deadlineMs - clock.nowMs()) + 1);
  };

  /** While paused only the number of pods is followed, and only where it is clear whose they are. */
  const scalePaused = async (deployment: Deployment, { current, previous }: Owned): Promise<void> => {
    const all = current === undefined ? previous : [...previous, current];
    const running = all.filter(({ spec }) => (spec.replicas ?? 1) > 0);
    const [only] = running.length === 0 ? all.slice(-1) : running;
    const wanted = deployment.spec.replicas ?? 1;
    if (running.length > 1 || only === undefined || only.spec.replicas === wanted) return;
    await scale(deployment, { replicaSet: only, replicas: wanted });
  };

  const rollOut = async (deployment: Deployment, { current: found, previous }: Owned): Promise<Owned> => {
    let current = found === undefined ? await createCurrent(deployment, previous) : await promote(found, previous);
    let older = previous;
    for (const step of planRollout({ deployment, current, previous })) {
      const scaled = await scale(deployment, step);
      if (step.replicaSet === current) current = scaled;
      else older = older.map((replicaSet) => (replicaSet === step.replicaSet ? scaled : replicaSet));
    }
    return { current, previous: older };
  };

  const work = async (key: string): Promise<void> => {
    const known = deployments.store.get(parseKeyText(key));
    if (known === undefined) return;
    let deployment = await client.find(DEPLOYMENTS, known.metadata);
    if (deployment === undefined || deployment.metadata.uid !== known.metadata.uid) return;
    let owned = await readOwned(deployment);
    if (deployment.metadata.deletionTimestamp === undefined) {
      if (deployment.spec.paused === true) await scalePaused(deployment, owned);
      else {
        owned = await rollOut(deployment, owned);
        if (owned.current !== undefined) deployment = await writeRevision(deployment, owned.current);
        await dropOldRevisions(deployment, owned.previous);
      }
    }
    await writeStatus(key, deployment, owned);
  };

  const queue = createControllerQueue('deployment', work, options);
  deployments.subscribe(enqueueSelf(queue));
  replicaSets.subscribe(
    onAnyChange((replicaSet) => {
      const { namespace, labels } = replicaSet.metadata;
      const owner = controllerOf(replicaSet);
      if (owner?.kind === 'Deployment') queue.add(keyText({ namespace, name: owner.name }));
      if (owner !== undefined) return;
      for (const { metadata, spec } of deployments.store.list(namespace)) {
        if (matchLabelSelector(spec.selector, labels)) queue.add(keyText(metadata));
      }
    }),
  );
  return queue;
}
