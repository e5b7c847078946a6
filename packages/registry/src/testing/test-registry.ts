import { silentLog } from '@meltemi/base';
import type { ClusterRegistry } from '../cluster-registry.ts';
import { createKubernetesRegistry, type KubernetesRegistryOptions } from '../kubernetes/kubernetes-registry.ts';

/** A registry that tells nobody anything and tries again at once, so that recovery needs no waiting. */
export function testRegistry(
  options: Pick<KubernetesRegistryOptions, 'clusterId' | 'client'> & Partial<KubernetesRegistryOptions>,
): ClusterRegistry {
  return createKubernetesRegistry({
    systemNamespace: 'istio-system',
    domainSuffix: 'cluster.local',
    trustDomain: () => 'cluster.local',
    log: silentLog,
    random: () => 0.001,
    ...options,
  });
}
