import type { Container, ContainerPort, Pod } from '@meltemi/kube';
import type { CaptureDefaults, InjectorConfig, ReadinessDefaults } from '../injector-config.ts';
import type { ProxyIds } from './proxy-ids.ts';
import { toImageVariant } from './proxy-image.ts';
import type { WorkloadRef } from './workload.ts';

/** Name of the sidecar's container. */
export const PROXY_CONTAINER_NAME = 'istio-proxy';

/** How inbound traffic reaches the sidecar. */
export type InterceptionMode = 'REDIRECT' | 'TPROXY' | 'NONE';

/**
 * How the sidecar stands beside the application: next to it, before it by a hook that holds the application back, or as
 * a sidecar container of Kubernetes, which starts before the application, ends after it, and does not keep a job alive.
 */
export type ProxyPlacement = 'beside' | 'holding' | 'native';

/** What the sidecar of one pod is built from: the configuration with the pod's annotations applied. */
export interface SidecarInput {
  readonly config: InjectorConfig;
  readonly namespace: string;
  readonly workload: WorkloadRef;
  /** The pod as its owner made it, without what an earlier injection added. */
  readonly pod: Pod;
  readonly annotations: Readonly<Record<string, string>>;
  readonly placement: ProxyPlacement;
  /** Names of the pod's own containers. */
  readonly applicationContainers: readonly string[];
  /** Ports that the pod's containers declare. */
  readonly applicationPorts: readonly ContainerPort[];
  readonly interceptionMode: InterceptionMode;
  readonly capture: CaptureDefaults & { readonly excludeInterfaces: string; readonly reroutedInterfaces: string };
  readonly statusPort: number;
  readonly readiness: ReadinessDefaults;
  readonly proxyImage: string;
  readonly initImage: string;
  readonly logLevel: string;
  readonly componentLogLevel: string;
  readonly agentLogLevel: string;
  readonly capNetBindService: boolean;
  readonly proxyIds: ProxyIds;
  readonly resources: InjectorConfig['resources'];
  /** ProxyConfig with the annotation `proxy.istio.io/config` applied. */
  readonly proxyConfig: Readonly<Record<string, unknown>>;
}

type Annotations = Readonly<Record<string, string>>;

/** What {@link buildSidecarInput} reads. */
export interface SidecarInputSource {
  /** The pod as its owner made it. */
  readonly pod: Pod;
  readonly namespace: string;
  readonly workload: WorkloadRef;
  readonly config: InjectorConfig;
  /** ProxyConfig with the annotation `proxy.istio.io/config` applied. */
  readonly proxyConfig: Readonly<Record<string, unknown>>;
}

/** Applies a pod's annotations to the configuration. They have been checked. */
export function buildSidecarInput(source: SidecarInputSource): SidecarInput {
  const { pod, namespace, workload, config, proxyConfig } = source;
  const annotations = pod.metadata.annotations ?? {};
  const sidecar = (name: string, fallback: string): string => annotations[`sidecar.istio.io/${name}`] ?? fallback;
  const statusPort = readStatusPort(annotations, proxyConfig, config);
  const image = sidecar('proxyImage', config.proxyImage);
  const variant = sidecar('proxyImageType', imageTypeOf(proxyConfig));
  return {
    config,
    namespace,
    pod,
    annotations,
    workload,
    placement: choosePlacement(annotations, proxyConfig, config),
    applicationContainers: applicationsOf(pod).map(({ name }) => name),
    applicationPorts: [...applicationsOf(pod), ...sidecarsOf(pod)].flatMap(({ ports = [] }) => ports),
    interceptionMode: readMode(sidecar('interceptionMode', String(proxyConfig['interceptionMode'] ?? ''))),
    capture: readCapture(annotations, config),
    statusPort,
    readiness: readReadiness(annotations, config),
    proxyImage: toImageVariant(image, variant),
    initImage: toImageVariant(sidecar('proxyImage', config.initImage), variant),
    logLevel: sidecar('logLevel', config.logLevel),
    componentLogLevel: sidecar('componentLogLevel', config.componentLogLevel),
    agentLogLevel: sidecar('agentLogLevel', config.agentLogLevel),
    capNetBindService: sidecar('capNetBindService', String(config.capNetBindService)) === 'true',
    proxyIds: config.proxyIds(namespace),
    resources: readResources(annotations, config.resources),
    proxyConfig: withPodSettings(proxyConfig, annotations, statusPort),
  };
}

/** The pod's own containers, without a sidecar that it brings itself. */
export function applicationsOf({ spec }: Pick<Pod, 'spec'>): readonly Container[] {
  return spec.containers.filter(({ name }) => name !== PROXY_CONTAINER_NAME);
}

/** What {@link applicationsOf} leaves out. */
export function sidecarsOf({ spec }: Pick<Pod, 'spec'>): readonly Container[] {
  return spec.containers.filter(({ name }) => name === PROXY_CONTAINER_NAME);
}

function choosePlacement(
  annotations: Annotations,
  proxyConfig: SidecarInput['proxyConfig'],
  config: InjectorConfig,
): ProxyPlacement {
  const wish = annotations['sidecar.istio.io/nativeSidecar'];
  if (wish === undefined ? config.nativeSidecars : wish === 'true') return 'native';
  const isHolding = proxyConfig['holdApplicationUntilProxyStarts'] ?? config.holdApplicationUntilProxyStarts;
  return isHolding === true ? 'holding' : 'beside';
}

function readMode(mode: string): InterceptionMode {
  return mode === 'NONE' || mode === 'TPROXY' ? mode : 'REDIRECT';
}

function imageTypeOf({ image }: SidecarInput['proxyConfig']): string {
  const type = typeof image === 'object' && image !== null ? (image as { imageType?: unknown }).imageType : undefined;
  return typeof type === 'string' ? type : '';
}

function readStatusPort(
  annotations: Annotations,
  { statusPort }: SidecarInput['proxyConfig'],
  config: InjectorConfig,
): number {
  const own = annotations['status.sidecar.istio.io/port'];
  if (own !== undefined) return Number(own);
  // The pod's own ProxyConfig before the mesh's, which the configuration has taken into account.
  const isOwn = statusPort !== config.proxyConfig['statusPort'];
  return isOwn && typeof statusPort === 'number' ? statusPort : config.statusPort;
}

/** What annotations other than `proxy.istio.io/config` say about ProxyConfig. */
function withPodSettings(
  proxyConfig: SidecarInput['proxyConfig'],
  annotations: Annotations,
  statusPort: number,
): SidecarInput['proxyConfig'] {
  const discoveryAddress = annotations['sidecar.istio.io/discoveryAddress'];
  const isOtherPort = statusPort !== 0 && statusPort !== (proxyConfig['statusPort'] ?? 15_020);
  return {
    ...proxyConfig,
    ...(discoveryAddress === undefined ? {} : { discoveryAddress }),
    // The agent listens where the kubelet will ask.
    ...(isOtherPort ? { statusPort } : {}),
  };
}

function readCapture(annotations: Annotations, { capture }: InjectorConfig): SidecarInput['capture'] {
  const traffic = (name: string, fallback: string): string =>
    annotations[`traffic.sidecar.istio.io/${name}`] ?? fallback;
  return {
    includeOutboundIPRanges: traffic('includeOutboundIPRanges', capture.includeOutboundIPRanges),
    excludeOutboundIPRanges: traffic('excludeOutboundIPRanges', capture.excludeOutboundIPRanges),
    includeOutboundPorts: traffic('includeOutboundPorts', capture.includeOutboundPorts),
    excludeOutboundPorts: traffic('excludeOutboundPorts', capture.excludeOutboundPorts),
    includeInboundPorts: traffic('includeInboundPorts', capture.includeInboundPorts),
    excludeInboundPorts: traffic('excludeInboundPorts', capture.excludeInboundPorts),
    excludeInterfaces: traffic('excludeInterfaces', ''),
    reroutedInterfaces: annotations['istio.io/reroute-virtual-interfaces'] ?? traffic('kubevirtInterfaces', ''),
  };
}

function readReadiness(annotations: Annotations, { readiness }: InjectorConfig): ReadinessDefaults {
  const read = (name: keyof ReadinessDefaults): number =>
    Number(annotations[`readiness.status.sidecar.istio.io/${name}`] ?? readiness[name]);
  return {
    initialDelaySeconds: read('initialDelaySeconds'),
    periodSeconds: read('periodSeconds'),
    failureThreshold: read('failureThreshold'),
  };
}

/** The four annotations replace the configured resources as a whole once any of them is there. */
function readResources(annotations: Annotations, fallback: InjectorConfig['resources']): InjectorConfig['resources'] {
  const read = (name: string): string | undefined => annotations[`sidecar.istio.io/${name}`];
  const requests = defined({ cpu: read('proxyCPU'), memory: read('proxyMemory') });
  const limits = defined({ cpu: read('proxyCPULimit'), memory: read('proxyMemoryLimit') });
  if (requests === undefined && limits === undefined) return fallback;
  return { ...(requests === undefined ? {} : { requests }), ...(limits === undefined ? {} : { limits }) };
}

function defined(values: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string>> | undefined {
  const entries = Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

/** Ports of the sidecar that kubelets and Prometheus call in plaintext, and that are therefore never captured. */
const UNCAPTURED_PORTS: readonly string[] = ['15090', '15021'];

/** The inbound ports to leave alone: the sidecar's own, the pod's exclusions, and the status port. */
export function excludedInboundPorts({ statusPort, capture }: SidecarInput): string {
  const configured = capture.excludeInboundPorts.split(',').map((port) => port.trim());
  const status = statusPort === 0 ? [] : [String(statusPort)];
  return [...new Set([...UNCAPTURED_PORTS, ...configured.filter((port) => port !== ''), ...status])].join(',');
}
