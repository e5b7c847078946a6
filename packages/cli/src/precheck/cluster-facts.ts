import { messageOf } from '@meltemi/base';
import {
  CONFIG_MAPS,
  type ConfigMap,
  DEPLOYMENTS,
  type Deployment,
  ENDPOINT_SLICES,
  type EndpointSlice,
  type KubeClient,
  type KubeObject,
  type ListOptions,
  MUTATING_WEBHOOK_CONFIGURATIONS,
  type MutatingWebhookConfiguration,
  NAMESPACES,
  type Namespace,
  NODES,
  type NodeObject,
  PODS,
  type Pod,
  type ResourceRef,
  SECRETS,
  SERVICES,
  type Secret,
  type Service,
} from '@meltemi/kube';
import { CONTROL_PLANE_NAMESPACE } from '../mesh-request.ts';
import type { SessionCluster } from '../session.ts';
import { createReport, type PrecheckFinding } from './finding.ts';
import { reachCluster } from './reach-cluster.ts';
import { readServiceRanges } from './service-ranges.ts';

/** All that the checks look at, of one cluster that answers. */
export interface ClusterFacts {
  readonly cluster: SessionCluster;
  /** `gitVersion` of the API server. */
  readonly version: string;
  readonly nodes: readonly NodeObject[];
  readonly namespaces: readonly Namespace[];
  readonly pods: readonly Pod[];
  readonly services: readonly Service[];
  /** Ranges that Services get their addresses from, CIDRs; empty where the cluster does not say. */
  readonly serviceRanges: readonly string[];
  readonly rootCertificates: ConfigMap | undefined;
  readonly plugged: Secret | undefined;
  readonly remoteSecrets: readonly Secret[];
  readonly controlPlane: Deployment | undefined;
  /** ConfigMap `istio`. */
  readonly meshConfig: ConfigMap | undefined;
  /** ConfigMap `istio-sidecar-injector`. */
  readonly injector: ConfigMap | undefined;
  readonly webhooks: readonly MutatingWebhookConfiguration[];
  /** Of the system namespace. */
  readonly systemSlices: readonly EndpointSlice[];
  /** `topology.istio.io/network` of the system namespace; empty without one. */
  readonly network: string;
  /** The server's clock minus this machine's; positive when it is ahead. */
  readonly clockSkewMs: number;
}

async function listOf<Kind extends KubeObject>(
  client: KubeClient,
  ref: ResourceRef<Kind>,
  options: ListOptions<Kind> = {},
): Promise<readonly Kind[]> {
  return (await client.list(ref, options)).items;
}

/**
 * Looks whether a cluster answers and what its clock says, and reads what the other checks need.
 *
 * @returns `undefined` when the cluster does not answer, or does not let this user read.
 */
export async function readClusterFacts(
  cluster: SessionCluster,
  nowMs: () => number,
  findings: PrecheckFinding[],
): Promise<ClusterFacts | undefined> {
  const { client, name } = cluster;
  const reached = await reachCluster(cluster, nowMs, findings);
  if (reached === undefined) return undefined;
  const system = { namespace: CONTROL_PLANE_NAMESPACE };
  try {
    const [nodes, namespaces, pods, services, webhooks, remoteSecrets, systemSlices, serviceRanges] = await Promise.all(
      [
        listOf(client, NODES),
        listOf(client, NAMESPACES),
        listOf(client, PODS),
        listOf(client, SERVICES),
        listOf(client, MUTATING_WEBHOOK_CONFIGURATIONS),
        listOf(client, SECRETS, { ...system, labelSelector: 'istio/multiCluster=true' }),
        listOf(client, ENDPOINT_SLICES, system),
        readServiceRanges(client),
      ],
    );
    const [rootCertificates, meshConfig, injector, plugged, controlPlane] = await Promise.all([
      client.find(CONFIG_MAPS, { ...system, name: 'istio-ca-root-cert' }),
      client.find(CONFIG_MAPS, { ...system, name: 'istio' }),
      client.find(CONFIG_MAPS, { ...system, name: 'istio-sidecar-injector' }),
      client.find(SECRETS, { ...system, name: 'cacerts' }),
      client.find(DEPLOYMENTS, { ...system, name: 'istiod' }),
    ]);
    const own = namespaces.find(({ metadata }) => metadata.name === CONTROL_PLANE_NAMESPACE);
    return {
      cluster,
      ...reached,
      nodes,
      namespaces,
      pods,
      services,
      webhooks,
      remoteSecrets,
      systemSlices,
      serviceRanges,
      rootCertificates,
      meshConfig,
      injector,
      plugged,
      controlPlane,
      network: own?.metadata.labels?.['topology.istio.io/network'] ?? '',
    };
  } catch (error) {
    createReport('reachable', findings).fail(
      name,
      `what the checks need cannot be read: ${messageOf(error)}`,
      'Use credentials that may read nodes, pods, services, webhooks, and secrets and config maps of istio-system',
    );
    return undefined;
  }
}
