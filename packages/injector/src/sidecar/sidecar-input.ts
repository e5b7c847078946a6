import type { ContainerPort } from '@meltemi/kube';
import type { CaptureDefaults, InjectorConfig, ReadinessDefaults } from '../injector-config.ts';
import type { WorkloadRef } from './workload.ts';

/** What the sidecar of one pod is built from: the configuration with the pod's annotations applied. */
export interface SidecarInput {
  readonly config: InjectorConfig;
  readonly namespace: string;
  readonly workload: WorkloadRef;
  /** Names of the pod's own containers. */
  readonly applicationContainers: readonly string[];
  /** Ports that the pod's own containers declare. */
  readonly applicationPorts: readonly ContainerPort[];
  readonly interceptionMode: 'REDIRECT' | 'NONE';
  readonly capture: CaptureDefaults & { readonly excludeInterfaces: string };
  readonly statusPort: number;
  readonly readiness: ReadinessDefaults;
  readonly proxyImage: string;
  readonly logLevel: string;
  readonly componentLogLevel: string;
  readonly resources: InjectorConfig['resources'];
  /** ProxyConfig with the annotation `proxy.istio.io/config` applied. */
  readonly proxyConfig: Readonly<Record<string, unknown>>;
  /** JSON of rewritten probes, when there are any. */
  readonly appProbers: string | undefined;
  /** JSON of saved scrape annotations, when there are any. */
  readonly prometheusAnnotations: string | undefined;
}

/** Ports of the sidecar that kubelets and Prometheus call in plaintext, and that are therefore never captured. */
const UNCAPTURED_PORTS: readonly number[] = [15_090, 15_021];

/** The inbound ports to leave alone: the sidecar's own, the status port, and the pod's exclusions. */
export function excludedInboundPorts({ statusPort, capture }: SidecarInput): string {
  const status = statusPort === 0 ? [] : [statusPort];
  const configured = capture.excludeInboundPorts.split(',').map((port) => port.trim());
  return [...UNCAPTURED_PORTS, ...status, ...configured.filter((port) => port !== '')].join(',');
}
