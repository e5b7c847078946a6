import { isPodTerminal, type Pod } from '@meltemi/kube';
import type { Workload } from '@meltemi/model';
import { type PodContext, podAddresses, podLocality, podNetwork, workloadLabels } from './pod-facts.ts';

/**
 * A pod as the mesh knows it.
 *
 * @returns `undefined` while it has no address of its own: before it runs, after it ended, and on the host's network,
 *   whose address says nothing about which pod it is.
 */
export function toWorkload(pod: Pod, context: PodContext): Workload | undefined {
  const addresses = podAddresses(pod);
  if (addresses.length === 0 || isPodTerminal(pod) || pod.spec.hostNetwork === true) return undefined;
  return Object.freeze({
    name: pod.metadata.name,
    namespace: pod.metadata.namespace ?? 'default',
    clusterId: context.clusterId,
    network: podNetwork(pod, context),
    addresses,
    labels: workloadLabels(pod, context),
    serviceAccount: pod.spec.serviceAccountName ?? 'default',
    nodeName: pod.spec.nodeName ?? '',
    locality: podLocality(pod, context.node),
  });
}
