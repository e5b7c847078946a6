import { type KubeClient, PODS, type Pod } from '@meltemi/kube';
import type { NodePod, PodReader } from './authenticate/impersonation.ts';

const READ_TIMEOUT_MS = 5_000;

/** Reads the pods of one cluster at the moment of asking: who is where must not be a memory. */
export function createPodReader(client: Pick<KubeClient, 'find' | 'list'>): PodReader {
  const call = { timeoutMs: READ_TIMEOUT_MS };
  return {
    async find(namespace, name) {
      const pod = await client.find(PODS, { namespace, name }, call);
      return pod === undefined ? undefined : toNodePod(pod);
    },
    async onNode(namespace, nodeName) {
      const fieldSelector = `spec.nodeName=${nodeName}`;
      const { items } = await client.list(PODS, { ...call, namespace, fieldSelector });
      return items.map(toNodePod);
    },
  };
}

function toNodePod({ metadata, spec, status }: Pod): NodePod {
  return {
    uid: metadata.uid ?? '',
    serviceAccount: spec.serviceAccountName ?? 'default',
    nodeName: spec.nodeName ?? '',
    phase: status?.phase ?? '',
  };
}
