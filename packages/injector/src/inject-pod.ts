import { err, messageOf, ok, type Result } from '@meltemi/base';
import type { Container, Pod } from '@meltemi/kube';
import { parse as parseYaml } from 'yaml';
import { validateAnnotations } from './annotations.ts';
import { type InjectionStatus, parseInjectionStatus, STATUS_ANNOTATION, stripInjection } from './injection-status.ts';
import type { InjectorConfig } from './injector-config.ts';
import { pointApplications } from './sidecar/application-env.ts';
import { rewriteProbes } from './sidecar/probe-rewrite.ts';
import { type MergedScrape, mergeScrapeAnnotations } from './sidecar/prometheus-merge.ts';
import {
  buildInitContainer,
  buildProxyContainer,
  PROXY_CONTAINER_NAME,
  type ProxyPlacement,
} from './sidecar/sidecar-containers.ts';
import type { SidecarInput } from './sidecar/sidecar-input.ts';
import { SIDECAR_VOLUMES } from './sidecar/sidecar-volumes.ts';
import { resolveWorkload } from './sidecar/workload.ts';

type Annotations = Readonly<Record<string, string>>;

/**
 * Adds a sidecar to a pod. Injecting the result again gives an equal pod.
 *
 * @param namespace The pod's namespace: a pod in admission may not say it itself.
 * @returns The pod with sidecar, or what forbids it, for the user who creates the pod.
 */
export function injectPod(pod: Pod, namespace: string, config: InjectorConfig): Result<Pod> {
  const annotations = pod.metadata.annotations ?? {};
  const problems = validateAnnotations(annotations);
  if (problems.length > 0) return err(`invalid annotation ${problems.map(({ message }) => message).join('; ')}`);
  const previous = parseInjectionStatus(annotations[STATUS_ANNOTATION]);
  const { stripped, savedEnv } = stripInjection(pod, previous);
  const conflict = findConflict(stripped);
  if (conflict !== undefined) return err(conflict);
  const proxyConfig = mergeProxyConfig(config.proxyConfig, annotations['proxy.istio.io/config']);
  if (!proxyConfig.ok) return proxyConfig;

  const statusPort = Number(annotations['status.sidecar.istio.io/port'] ?? config.statusPort);
  const rewritten = rewritePodProbes(stripped, annotations, statusPort, config);
  const scrape = mergeMetrics(annotations, statusPort, savedEnv.get('ISTIO_PROMETHEUS_ANNOTATIONS'), config);
  if (!scrape.ok) return scrape;
  const input: SidecarInput = {
    ...readInput(stripped, namespace, config),
    statusPort,
    proxyConfig: proxyConfig.value,
    appProbers: rewritten.probers ?? savedEnv.get('ISTIO_KUBE_APP_PROBERS'),
    prometheusAnnotations: scrape.value.saved,
  };
  const applications = pointApplications(rewritten.containers, config);
  return ok(assemble(stripped, applications, input, scrape.value.annotations));
}

function assemble(pod: Pod, applications: readonly Container[], input: SidecarInput, annotations: Annotations): Pod {
  const placement = choosePlacement(annotations, input);
  const proxy = buildProxyContainer(input, placement);
  const capture = input.interceptionMode === 'NONE' ? [] : [buildInitContainer(input)];
  const isNative = placement === 'native';
  const init = isNative ? [...capture, proxy] : capture;
  const own = pod.spec.initContainers ?? [];
  const { labels = {} } = pod.metadata;
  const status: InjectionStatus = {
    initContainers: init.map(({ name }) => name),
    containers: isNative ? [] : [proxy.name],
    volumes: SIDECAR_VOLUMES.map(({ name }) => name),
    imagePullSecrets: null,
    revision: input.config.revision,
  };
  const firstContainer = applications[0]?.name ?? '';
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      labels: {
        ...labels,
        'security.istio.io/tlsMode': labels['security.istio.io/tlsMode'] ?? 'istio',
        'service.istio.io/canonical-name': canonicalName(labels, input.workload.name),
        'service.istio.io/canonical-revision': canonicalRevision(labels),
      },
      annotations: {
        ...annotations,
        'kubectl.kubernetes.io/default-container':
          annotations['kubectl.kubernetes.io/default-container'] ?? firstContainer,
        'kubectl.kubernetes.io/default-logs-container':
          annotations['kubectl.kubernetes.io/default-logs-container'] ?? firstContainer,
        'istio.io/rev': input.config.revision,
        [STATUS_ANNOTATION]: JSON.stringify(status),
      },
    },
    spec: {
      ...pod.spec,
      // Capture last, unless there is a proxy already that the pod's own init containers can speak through.
      initContainers: isNative ? [...init, ...own] : [...own, ...init],
      containers: withProxy(applications, proxy, placement),
      volumes: [...(pod.spec.volumes ?? []), ...SIDECAR_VOLUMES],
    },
  };
}

function choosePlacement(annotations: Annotations, { config, proxyConfig }: SidecarInput): ProxyPlacement {
  const wish = annotations['sidecar.istio.io/nativeSidecar'];
  if (wish === undefined ? config.nativeSidecars : wish === 'true') return 'native';
  return proxyConfig['holdApplicationUntilProxyStarts'] === true ? 'holding' : 'beside';
}

function withProxy(
  applications: readonly Container[],
  proxy: Container,
  placement: ProxyPlacement,
): readonly Container[] {
  if (placement === 'native') return applications;
  return placement === 'holding' ? [proxy, ...applications] : [...applications, proxy];
}

type PodInput = Omit<SidecarInput, 'statusPort' | 'proxyConfig' | 'appProbers' | 'prometheusAnnotations'>;

function readInput(pod: Pod, namespace: string, config: InjectorConfig): PodInput {
  const annotations = pod.metadata.annotations ?? {};
  const traffic = (name: string, fallback: string): string =>
    annotations[`traffic.sidecar.istio.io/${name}`] ?? fallback;
  const sidecar = (name: string, fallback: string): string => annotations[`sidecar.istio.io/${name}`] ?? fallback;
  const readiness = (name: keyof InjectorConfig['readiness']): number =>
    Number(annotations[`readiness.status.sidecar.istio.io/${name}`] ?? config.readiness[name]);
  return {
    config,
    namespace,
    workload: resolveWorkload(pod, namespace),
    applicationContainers: pod.spec.containers.map(({ name }) => name),
    applicationPorts: pod.spec.containers.flatMap(({ ports = [] }) => ports),
    interceptionMode:
      sidecar('interceptionMode', String(config.proxyConfig['interceptionMode'] ?? 'REDIRECT')) === 'NONE'
        ? 'NONE'
        : 'REDIRECT',
    capture: {
      includeOutboundIPRanges: traffic('includeOutboundIPRanges', config.capture.includeOutboundIPRanges),
      excludeOutboundIPRanges: traffic('excludeOutboundIPRanges', config.capture.excludeOutboundIPRanges),
      includeOutboundPorts: traffic('includeOutboundPorts', config.capture.includeOutboundPorts),
      excludeOutboundPorts: traffic('excludeOutboundPorts', config.capture.excludeOutboundPorts),
      includeInboundPorts: traffic('includeInboundPorts', config.capture.includeInboundPorts),
      excludeInboundPorts: traffic('excludeInboundPorts', config.capture.excludeInboundPorts),
      excludeInterfaces: traffic('excludeInterfaces', ''),
    },
    readiness: {
      initialDelaySeconds: readiness('initialDelaySeconds'),
      periodSeconds: readiness('periodSeconds'),
      failureThreshold: readiness('failureThreshold'),
    },
    proxyImage: sidecar('proxyImage', config.proxyImage),
    logLevel: sidecar('logLevel', config.logLevel),
    componentLogLevel: sidecar('componentLogLevel', config.componentLogLevel),
    resources: readResources(annotations, config.resources),
  };
}

/** The four annotations replace the configured resources as a whole once any of them is there. */
function readResources(annotations: Annotations, fallback: InjectorConfig['resources']): InjectorConfig['resources'] {
  const read = (name: string): string | undefined => annotations[`sidecar.istio.io/${name}`];
  const requests = { cpu: read('proxyCPU'), memory: read('proxyMemory') };
  const limits = { cpu: read('proxyCPULimit'), memory: read('proxyMemoryLimit') };
  if ([...Object.values(requests), ...Object.values(limits)].every((value) => value === undefined)) return fallback;
  return { requests: defined(requests), limits: defined(limits) };
}

function defined(values: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

function mergeProxyConfig(
  base: InjectorConfig['proxyConfig'],
  annotation: string | undefined,
): Result<InjectorConfig['proxyConfig']> {
  if (annotation === undefined) return ok(base);
  try {
    const own: unknown = parseYaml(annotation);
    if (own === null) return ok(base);
    if (typeof own === 'object' && !Array.isArray(own)) return ok({ ...base, ...own });
  } catch (error) {
    return err(`invalid annotation proxy.istio.io/config: ${messageOf(error)}`);
  }
  return err('invalid annotation proxy.istio.io/config: it must be the YAML of a ProxyConfig');
}

function rewritePodProbes(
  pod: Pod,
  annotations: Annotations,
  statusPort: number,
  config: InjectorConfig,
): { containers: readonly Container[]; probers: string | undefined } {
  const wish = annotations['sidecar.istio.io/rewriteAppHTTPProbers'];
  const isWanted = wish === undefined ? config.rewriteProbes : wish === 'true';
  if (!isWanted || statusPort === 0) return { containers: pod.spec.containers, probers: undefined };
  const { containers, probes } = rewriteProbes(pod.spec.containers, statusPort);
  return { containers, probers: Object.keys(probes).length === 0 ? undefined : JSON.stringify(probes) };
}

function mergeMetrics(
  annotations: Annotations,
  statusPort: number,
  saved: string | undefined,
  config: InjectorConfig,
): Result<MergedScrape> {
  const wish = annotations['prometheus.istio.io/merge-metrics'];
  const isWanted = wish === undefined ? config.mergeMetrics : wish === 'true';
  return isWanted && statusPort !== 0
    ? mergeScrapeAnnotations(annotations, statusPort, saved)
    : ok({ annotations, saved: undefined });
}

function findConflict({ spec }: Pod): string | undefined {
  if (spec.containers.some(({ name }) => name === PROXY_CONTAINER_NAME)) {
    return `the pod has a container ${PROXY_CONTAINER_NAME} of its own; remove it, and set what differs by annotations`;
  }
  const taken = spec.volumes?.find(({ name }) => SIDECAR_VOLUMES.some((volume) => volume.name === name));
  return taken === undefined
    ? undefined
    : `the pod has a volume ${taken.name} of its own, which the sidecar needs; rename it`;
}

function canonicalName(labels: Annotations, workloadName: string): string {
  const name =
    labels['service.istio.io/canonical-name'] ?? labels['app.kubernetes.io/name'] ?? labels['app'] ?? workloadName;
  // The longest value that a label may have.
  return name.slice(0, 63).replace(/[^a-zA-Z0-9]+$/, '');
}

function canonicalRevision(labels: Annotations): string {
  return (
    labels['service.istio.io/canonical-revision'] ??
    labels['app.kubernetes.io/version'] ??
    labels['version'] ??
    'latest'
  );
}
