import type { LabelSelector, ResourceRequirements } from '@meltemi/kube';

/** Everything that injection depends on besides the pod. */
export interface InjectorConfig {
  /** `default`, or the name of the control plane's revision. */
  readonly revision: string;
  /** Whether pods without a word of their own are injected. */
  readonly policy: 'enabled' | 'disabled';
  readonly neverInjectSelectors: readonly LabelSelector[];
  readonly alwaysInjectSelectors: readonly LabelSelector[];
  readonly clusterId: string;
  readonly network: string;
  readonly meshId: string;
  readonly trustDomain: string;
  /** Host and port of the control plane, as pods reach it. */
  readonly discoveryAddress: string;
  readonly proxyImage: string;
  readonly initImage: string;
  /** Empty leaves the choice to the kubelet. */
  readonly imagePullPolicy: string;
  /** Envoy's executable for every sidecar; `undefined` runs Meltemi's own proxy. */
  readonly proxyBinary: string | undefined;
  /** MeshConfig's `defaultConfig`, JSON. */
  readonly proxyConfig: Readonly<Record<string, unknown>>;
  /** MeshConfig's `proxyHttpPort`: where sidecars offer an explicit HTTP proxy; 0 for none. */
  readonly httpProxyPort: number;
  /** Whether kubelets give each pod a second address for its application, as the `loopback` sandbox does. */
  readonly separateAddresses: boolean;
  readonly logLevel: string;
  readonly componentLogLevel: string;
  readonly capture: CaptureDefaults;
  readonly statusPort: number;
  readonly readiness: ReadinessDefaults;
  readonly resources: ResourceRequirements;
  /** Makes the proxy a sidecar container of Kubernetes, where the pod does not say otherwise. */
  readonly nativeSidecars: boolean;
  /** Points probes at the agent, so that they work where only mTLS is accepted. */
  readonly rewriteProbes: boolean;
  /** Lets one scrape of the pod return the proxy's and the application's metrics. */
  readonly mergeMetrics: boolean;
}

/** What is captured unless annotations say otherwise. */
export interface CaptureDefaults {
  readonly includeOutboundIPRanges: string;
  readonly excludeOutboundIPRanges: string;
  readonly includeOutboundPorts: string;
  readonly excludeOutboundPorts: string;
  readonly includeInboundPorts: string;
  readonly excludeInboundPorts: string;
}

/** The readiness probe of the sidecar. */
export interface ReadinessDefaults {
  readonly initialDelaySeconds: number;
  readonly periodSeconds: number;
  readonly failureThreshold: number;
}

/** A mesh of one cluster, with our own proxy. */
export const DEFAULT_INJECTOR_CONFIG: InjectorConfig = {
  revision: 'default',
  policy: 'enabled',
  neverInjectSelectors: [],
  alwaysInjectSelectors: [],
  clusterId: 'Kubernetes',
  network: '',
  meshId: 'cluster.local',
  trustDomain: 'cluster.local',
  discoveryAddress: 'istiod.istio-system.svc:15012',
  proxyImage: 'meltemi/agent',
  initImage: 'meltemi/agent',
  imagePullPolicy: '',
  proxyBinary: undefined,
  proxyConfig: {},
  httpProxyPort: 0,
  separateAddresses: false,
  logLevel: 'warning',
  componentLogLevel: 'misc:error',
  capture: {
    includeOutboundIPRanges: '*',
    excludeOutboundIPRanges: '',
    includeOutboundPorts: '',
    excludeOutboundPorts: '',
    includeInboundPorts: '*',
    excludeInboundPorts: '',
  },
  statusPort: 15_020,
  // Istio asks every 15 s after a startup probe; one probe a second is as quick to turn ready and needs no second probe.
  readiness: { initialDelaySeconds: 0, periodSeconds: 1, failureThreshold: 4 },
  resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { cpu: '2000m', memory: '1024Mi' } },
  nativeSidecars: false,
  rewriteProbes: true,
  mergeMetrics: true,
};
