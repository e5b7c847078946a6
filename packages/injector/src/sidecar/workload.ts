import type { Pod } from '@meltemi/kube';

/** The workload that a pod belongs to: what users call it. */
export interface WorkloadRef {
  readonly name: string;
  readonly kind: string;
  readonly apiVersion: string;
  /** `kubernetes://apis/apps/v1/namespaces/<ns>/deployments/<name>`. */
  readonly owner: string;
}

/** CronJobs name their jobs after the minute: `<name>-<minutes since 1970>`, formerly seconds. */
const CRON_JOB_NAME = /^(.+)-\d{8,10}$/;

/**
 * Finds the Deployment, StatefulSet, … behind a pod, by its controlling owner. What stands between is skipped: a
 * ReplicaSet stands for its Deployment (the name without the hash that the pod carries as a label), a Job that a
 * schedule made for its CronJob, a ReplicationController for its DeploymentConfig.
 */
export function resolveWorkload({ metadata }: Pick<Pod, 'metadata'>, namespace: string): WorkloadRef {
  const controller = metadata.ownerReferences?.find((reference) => reference.controller === true);
  const labels = metadata.labels ?? {};
  if (controller === undefined) {
    const name = metadata.name || (metadata.generateName ?? '').replace(/-$/, '') || 'unknown';
    return toWorkloadRef(namespace, { apiVersion: 'v1', kind: 'Pod', name });
  }
  const { apiVersion, kind, name } = controller;
  const cronJob = kind === 'Job' ? CRON_JOB_NAME.exec(name)?.[1] : undefined;
  if (cronJob !== undefined) return toWorkloadRef(namespace, { apiVersion, kind: 'CronJob', name: cronJob });
  const deploymentConfig = labels['openshift.io/deployment-config.name'];
  if (kind === 'ReplicationController' && deploymentConfig !== undefined) {
    return toWorkloadRef(namespace, {
      apiVersion: 'apps.openshift.io/v1',
      kind: 'DeploymentConfig',
      name: deploymentConfig,
    });
  }
  if (kind === 'ReplicaSet') return replicaSetOwner(namespace, controller, labels);
  return toWorkloadRef(namespace, { apiVersion, kind, name });
}

function replicaSetOwner(
  namespace: string,
  { apiVersion, name }: { readonly apiVersion: string; readonly name: string },
  labels: Readonly<Record<string, string>>,
): WorkloadRef {
  const hash = labels['pod-template-hash'];
  if (hash !== undefined && name.endsWith(`-${hash}`)) {
    return toWorkloadRef(namespace, {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      name: name.slice(0, -hash.length - 1),
    });
  }
  const rollout = labels['rollouts-pod-template-hash'];
  if (rollout !== undefined && name.endsWith(`-${rollout}`)) {
    const rolloutName = name.slice(0, -rollout.length - 1);
    return toWorkloadRef(namespace, { apiVersion: 'argoproj.io/v1alpha1', kind: 'Rollout', name: rolloutName });
  }
  return toWorkloadRef(namespace, { apiVersion, kind: 'ReplicaSet', name });
}

/** A workload by its kind and name. */
export function toWorkloadRef(
  namespace: string,
  { apiVersion, kind, name }: Pick<WorkloadRef, 'apiVersion' | 'kind' | 'name'>,
): WorkloadRef {
  const owner = `kubernetes://apis/${apiVersion}/namespaces/${namespace}/${kind.toLowerCase()}s/${name}`;
  return { name, kind, apiVersion, owner };
}
