import { controllerOf, type NodeObject, type Pod } from '@meltemi/kube';
import { type Labels, type Locality, parseLocality, UNKNOWN_LOCALITY } from '@meltemi/model';

/** Label of a pod, of the system namespace, or of a gateway Service: the network it is on. */
export const NETWORK_LABEL = 'topology.istio.io/network';
const CLUSTER_LABEL = 'topology.istio.io/cluster';
const REGION_LABEL = 'topology.kubernetes.io/region';
const ZONE_LABEL = 'topology.kubernetes.io/zone';
const SUBZONE_LABEL = 'topology.istio.io/subzone';
const LEGACY_REGION_LABEL = 'failure-domain.beta.kubernetes.io/region';
const LEGACY_ZONE_LABEL = 'failure-domain.beta.kubernetes.io/zone';
const POD_LOCALITY_LABEL = 'istio-locality';
const TLS_MODE_LABEL = 'security.istio.io/tlsMode';

/** What a cluster adds to each of its pods. */
export interface PodContext {
  readonly clusterId: string;
  /** Network of pods without a label of their own; empty for the default one. */
  readonly clusterNetwork: string;
  /** The pod's node, when it is known. */
  readonly node?: NodeObject | undefined;
}

/** Where a pod runs: its own label first, then its node's. */
export function podLocality(pod: Pod, node: NodeObject | undefined): Locality {
  const own = pod.metadata.labels?.[POD_LOCALITY_LABEL];
  // Slashes are not allowed in labels, so dots stand for them.
  if (own !== undefined && own !== '') return parseLocality(own.includes('/') ? own : own.replaceAll('.', '/'));
  const labels = node?.metadata.labels;
  if (labels === undefined) return UNKNOWN_LOCALITY;
  return {
    region: labels[REGION_LABEL] ?? labels[LEGACY_REGION_LABEL] ?? '',
    zone: labels[ZONE_LABEL] ?? labels[LEGACY_ZONE_LABEL] ?? '',
    subzone: labels[SUBZONE_LABEL] ?? '',
  };
}

/** The network that a pod is on. */
export function podNetwork(pod: Pod, context: PodContext): string {
  return pod.metadata.labels?.[NETWORK_LABEL] ?? context.clusterNetwork;
}

/** A pod's labels, and those that rules may select by without anybody having written them. */
export function workloadLabels(pod: Pod, context: PodContext): Labels {
  const { region, zone, subzone } = podLocality(pod, context.node);
  const added = {
    [REGION_LABEL]: region,
    [ZONE_LABEL]: zone,
    [SUBZONE_LABEL]: subzone,
    [CLUSTER_LABEL]: context.clusterId,
    [NETWORK_LABEL]: podNetwork(pod, context),
    'kubernetes.io/hostname': pod.spec.nodeName ?? '',
  };
  return {
    ...pod.metadata.labels,
    ...Object.fromEntries(Object.entries(added).filter(([, value]) => value !== '')),
  };
}

/** Whether the pod's sidecar ends mesh mTLS. */
export function podTlsMode(pod: Pod): 'istio' | 'disabled' {
  return pod.metadata.labels?.[TLS_MODE_LABEL] === 'istio' ? 'istio' : 'disabled';
}

/** The name of what the pod is an instance of: its Deployment rather than its ReplicaSet, else its own. */
export function workloadNameOf(pod: Pod): string {
  const owner = controllerOf(pod);
  if (owner === undefined) return pod.metadata.name;
  const hash = pod.metadata.labels?.['pod-template-hash'];
  if (owner.kind === 'ReplicaSet' && hash !== undefined && owner.name.endsWith(`-${hash}`)) {
    return owner.name.slice(0, -hash.length - 1);
  }
  return owner.name;
}

/** The name that telemetry groups a workload by. */
export function canonicalNameOf(labels: Labels, workloadName: string): string {
  return labels['service.istio.io/canonical-name'] ?? labels['app.kubernetes.io/name'] ?? labels['app'] ?? workloadName;
}

/** The revision that telemetry groups a workload by. */
export function canonicalRevisionOf(labels: Labels): string {
  return (
    labels['service.istio.io/canonical-revision'] ??
    labels['app.kubernetes.io/version'] ??
    labels['version'] ??
    'latest'
  );
}

/** The pod's addresses, primary first; none while it has none or once it has ended. */
export function podAddresses(pod: Pod): readonly string[] {
  const { podIP, podIPs } = pod.status ?? {};
  if (podIP === undefined || podIP === '') return [];
  return [...new Set([podIP, ...(podIPs ?? []).map(({ ip }) => ip)])];
}
