import { type EndpointSlice, MANAGED_BY_LABEL, type NodeObject, type Pod, type SliceEndpoint } from '@meltemi/kube';
import { type Endpoint, type EndpointHealth, formatSpiffeId, UNKNOWN_LOCALITY } from '@meltemi/model';
import {
  canonicalNameOf,
  canonicalRevisionOf,
  podLocality,
  podNetwork,
  podTlsMode,
  workloadLabels,
  workloadNameOf,
} from './pod-facts.ts';

/** Label of slices that multi-cluster services make of other clusters' endpoints. */
const MULTI_CLUSTER_SERVICE_LABEL = 'multicluster.kubernetes.io/service-name';
const MULTI_CLUSTER_CONTROLLER = 'endpointslice-controller.mcs.k8s.io';

/** What endpoints are looked up in. */
export interface EndpointContext {
  readonly clusterId: string;
  readonly clusterNetwork: string;
  readonly trustDomain: string;
  findPod(namespace: string, name: string): Pod | undefined;
  findNode(name: string): NodeObject | undefined;
}

/** Whether a slice says where a service of this cluster is served. */
export function isUsableSlice(slice: EndpointSlice): boolean {
  const { labels = {} } = slice.metadata;
  if (slice.addressType === 'FQDN') return false;
  return !(MULTI_CLUSTER_SERVICE_LABEL in labels) && labels[MANAGED_BY_LABEL] !== MULTI_CLUSTER_CONTROLLER;
}

/**
 * The endpoints of one service in one cluster, from all its slices.
 *
 * An endpoint whose pod is not known yet is left out until it is: its identity would be wrong. One that terminates is there
 * until its pod has gone: nobody is sent to it any more, but its own sidecar serves those who still come.
 */
export function toEndpoints(slices: readonly EndpointSlice[], context: EndpointContext): readonly Endpoint[] {
  const byAddress = new Map<string, Endpoint>();
  for (const slice of slices.filter(isUsableSlice)) {
    const ports = slicePorts(slice);
    for (const item of slice.endpoints ?? []) {
      for (const address of item.addresses) {
        const present = byAddress.get(address);
        const endpoint = present ?? toEndpoint({ item, address, namespace: slice.metadata.namespace ?? '' }, context);
        // Pods of one service may name their ports differently, which gives each a slice of its own.
        if (endpoint !== undefined) {
          byAddress.set(address, { ...endpoint, ports: new Map([...endpoint.ports, ...ports]) });
        }
      }
    }
  }
  return [...byAddress.values()].toSorted((left, right) => (left.address < right.address ? -1 : 1));
}

function slicePorts(slice: EndpointSlice): ReadonlyMap<string, number> {
  return new Map(
    (slice.ports ?? []).flatMap(({ name, port }) =>
      port === undefined || port === null ? [] : [[name ?? '', port] as const],
    ),
  );
}

interface SliceAddress {
  readonly item: SliceEndpoint;
  readonly address: string;
  readonly namespace: string;
}

function healthOf({ conditions }: SliceEndpoint): EndpointHealth {
  if (conditions?.terminating === true) return 'terminating';
  return conditions?.ready === false ? 'unhealthy' : 'healthy';
}

function toEndpoint({ item, address, namespace }: SliceAddress, context: EndpointContext): Endpoint | undefined {
  const { clusterId, clusterNetwork, trustDomain } = context;
  const common = {
    address,
    ports: new Map<string, number>(),
    clusterId,
    health: healthOf(item),
    weight: 1,
    ...(item.hostname === undefined ? {} : { hostname: item.hostname }),
  };
  const { targetRef } = item;
  if (targetRef?.kind !== 'Pod' || targetRef.name === undefined) {
    return {
      ...common,
      labels: {},
      serviceAccount: '',
      network: clusterNetwork,
      locality: UNKNOWN_LOCALITY,
      tlsMode: 'disabled',
      workloadName: '',
      namespace,
      canonicalName: '',
      canonicalRevision: '',
      nodeName: item.nodeName ?? '',
    };
  }
  const pod = context.findPod(targetRef.namespace ?? namespace, targetRef.name);
  if (pod === undefined) return undefined;
  const podContext = { clusterId, clusterNetwork, node: context.findNode(pod.spec.nodeName ?? '') };
  const labels = pod.metadata.labels ?? {};
  const workloadName = workloadNameOf(pod);
  const podNamespace = pod.metadata.namespace ?? namespace;
  return {
    ...common,
    labels: workloadLabels(pod, podContext),
    serviceAccount: formatSpiffeId({
      trustDomain,
      namespace: podNamespace,
      serviceAccount: pod.spec.serviceAccountName ?? 'default',
    }),
    network: podNetwork(pod, podContext),
    locality: podLocality(pod, podContext.node),
    tlsMode: podTlsMode(pod),
    workloadName,
    namespace: podNamespace,
    canonicalName: canonicalNameOf(labels, workloadName),
    canonicalRevision: canonicalRevisionOf(labels),
    nodeName: pod.spec.nodeName ?? item.nodeName ?? '',
    ...(pod.spec.subdomain === undefined ? {} : { subdomain: pod.spec.subdomain }),
  };
}
