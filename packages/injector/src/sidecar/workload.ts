import type { Pod } from '@meltemi/kube';

/** The workload that a pod belongs to: what users call it. */
export interface WorkloadRef {
  readonly name: string;
  /** `kubernetes://apis/apps/v1/namespaces/<ns>/deployments/<name>`. */
  readonly owner: string;
}

/**
 * Finds the Deployment, StatefulSet, … behind a pod, by its controlling owner. A ReplicaSet stands for its Deployment:
 * the name without the hash that the pod carries as a label.
 */
export function resolveWorkload({ metadata }: Pick<Pod, 'metadata'>, namespace: string): WorkloadRef {
  const controller = metadata.ownerReferences?.find((reference) => reference.controller === true);
  const hash = metadata.labels?.['pod-template-hash'];
  if (controller === undefined) {
    const name = metadata.name || (metadata.generateName ?? '').replace(/-$/, '') || 'unknown';
    return { name, owner: ownerUri('v1', namespace, 'pods', name) };
  }
  if (controller.kind === 'ReplicaSet' && hash !== undefined && controller.name.endsWith(`-${hash}`)) {
    const name = controller.name.slice(0, -hash.length - 1);
    return { name, owner: ownerUri('apps/v1', namespace, 'deployments', name) };
  }
  const plural = `${controller.kind.toLowerCase()}s`;
  return { name: controller.name, owner: ownerUri(controller.apiVersion, namespace, plural, controller.name) };
}

function ownerUri(apiVersion: string, namespace: string, plural: string, name: string): string {
  return `kubernetes://apis/${apiVersion}/namespaces/${namespace}/${plural}/${name}`;
}
