import { sha256Hex, stableJson } from '@meltemi/base';
import {
  controllerReference,
  type EndpointSlice,
  isPodReady,
  isPodTerminal,
  MANAGED_BY_LABEL,
  type NodeObject,
  type Pod,
  SERVICE_NAME_LABEL,
  SERVICES,
  type Service,
  type ServicePort,
  type SliceEndpoint,
  type SlicePort,
} from '@meltemi/kube';

/** Value of the managed-by label, the one that kube-controller-manager uses: the mesh must not see a difference. */
export const SLICE_MANAGER = 'endpointslice-controller.k8s.io';

const HEADLESS_LABEL = 'service.kubernetes.io/headless';
const ZONE_LABEL = 'topology.kubernetes.io/zone';

/** Endpoints in one slice; Kubernetes' default. */
const MAX_ENDPOINTS = 100;

/** What the slices of one service follow from. */
export interface DesiredSlicesInput {
  /** A service with a selector. */
  readonly service: Service;
  /** The pods that its selector matches. */
  readonly pods: readonly Pod[];
  readonly nodeOf: (name: string) => NodeObject | undefined;
}

/** The number that a service port has in a pod; `undefined` when the pod has no port of that name. */
function resolveTargetPort(port: ServicePort, pod: Pod | undefined): number | undefined {
  const target = port.targetPort ?? port.port;
  if (typeof target === 'number') return target;
  const protocol = port.protocol ?? 'TCP';
  const containers = [...(pod?.spec.containers ?? []), ...(pod?.spec.initContainers ?? [])];
  return containers
    .flatMap(({ ports = [] }) => ports)
    .find(({ name, protocol: own = 'TCP' }) => name === target && own === protocol)?.containerPort;
}

function resolvePorts({ spec }: Service, pod: Pod | undefined): readonly SlicePort[] {
  return (spec.ports ?? []).flatMap((port) => {
    const number = resolveTargetPort(port, pod);
    if (number === undefined) return [];
    return [
      {
        name: port.name ?? '',
        port: number,
        protocol: port.protocol ?? 'TCP',
        ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }),
      },
    ];
  });
}

function endpointOf(service: Service, pod: Pod, nodeOf: DesiredSlicesInput['nodeOf']): SliceEndpoint {
  const isServing = isPodReady(pod);
  const isTerminating = pod.metadata.deletionTimestamp !== undefined;
  const { nodeName, hostname, subdomain } = pod.spec;
  const zone = nodeName === undefined ? undefined : nodeOf(nodeName)?.metadata.labels?.[ZONE_LABEL];
  const hasName = hostname !== undefined && subdomain === service.metadata.name;
  return {
    addresses: [pod.status?.podIP ?? ''],
    conditions: {
      ready: service.spec.publishNotReadyAddresses === true || (isServing && !isTerminating),
      serving: isServing,
      terminating: isTerminating,
    },
    ...(hasName ? { hostname } : {}),
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(zone === undefined ? {} : { zone }),
    targetRef: {
      kind: 'Pod',
      name: pod.metadata.name,
      namespace: pod.metadata.namespace ?? 'default',
      uid: pod.metadata.uid ?? '',
    },
  };
}

function labelsOf({ metadata, spec }: Service): Readonly<Record<string, string>> {
  return {
    ...metadata.labels,
    [SERVICE_NAME_LABEL]: metadata.name,
    [MANAGED_BY_LABEL]: SLICE_MANAGER,
    ...(spec.clusterIP === 'None' ? { [HEADLESS_LABEL]: '' } : {}),
  };
}

/** Whether a pod belongs into slices at all: it has an address, and it is not over. */
function isAddressable(pod: Pod): boolean {
  return (pod.status?.podIP ?? '') !== '' && !isPodTerminal(pod);
}

/**
 * The EndpointSlices of a service: one per set of port numbers that its pods resolve to, cut at 100 endpoints.
 *
 * Names follow from the port numbers, so that two passes over the same pods can never make two slices. A service
 * without pods keeps one slice without endpoints.
 */
export function desiredSlices({ service, pods, nodeOf }: DesiredSlicesInput): readonly EndpointSlice[] {
  const groups = new Map<string, { readonly ports: readonly SlicePort[]; readonly endpoints: SliceEndpoint[] }>();
  const groupFor = (pod: Pod | undefined): SliceEndpoint[] => {
    const ports = resolvePorts(service, pod);
    const key = stableJson(ports);
    const group = groups.get(key) ?? { ports, endpoints: [] };
    groups.set(key, group);
    return group.endpoints;
  };
  const sorted = pods
    .filter(isAddressable)
    .toSorted((left, right) => (left.metadata.name < right.metadata.name ? -1 : 1));
  for (const pod of sorted) groupFor(pod).push(endpointOf(service, pod, nodeOf));
  if (groups.size === 0) groupFor(undefined);

  return [...groups].flatMap(([key, { ports, endpoints }]) =>
    Array.from({ length: Math.max(1, Math.ceil(endpoints.length / MAX_ENDPOINTS)) }, (_, part) => ({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: `${service.metadata.name}-${sha256Hex(key).slice(0, 6)}${part === 0 ? '' : `-${part}`}`,
        namespace: service.metadata.namespace ?? 'default',
        labels: labelsOf(service),
        ownerReferences: [controllerReference(SERVICES, service)],
      },
      addressType: 'IPv4',
      endpoints: endpoints.slice(part * MAX_ENDPOINTS, (part + 1) * MAX_ENDPOINTS),
      ports,
    })),
  );
}
