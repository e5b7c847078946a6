import type { Container, LabelSelector, ResourceRequirements, SecurityContext } from '@meltemi/kube';
import { DEFAULT_PROXY_IDS, type ProxyIds } from './sidecar/proxy-ids.ts';
import { DEFAULT_TEMPLATE_SET, type TemplateSet } from './templates/template-set.ts';
import type { InjectPath } from './webhook/inject-path.ts';

/** Everything that injection depends on besides the pod. */
export interface InjectorConfig {
  /** `default`, or the name of the control plane's revision. */
  readonly revision: string;
  /** Whether pods without a word of their own are injected: `enabled` or `disabled`; any other word injects none. */
  readonly policy: string;
  readonly neverInjectSelectors: readonly LabelSelector[];
  readonly alwaysInjectSelectors: readonly LabelSelector[];
  readonly clusterId: string;
  readonly network: string;
  readonly meshId: string;
  readonly trustDomain: string;
  /** DNS domain of the cluster's services. */
  readonly clusterDomain: string;
  /** Host and port of the control plane, as pods reach it. */
  readonly discoveryAddress: string;
  /** Host and port of the certificate authority. */
  readonly caAddress: string;
  readonly proxyImage: string;
  readonly initImage: string;
  /** Empty leaves the choice to the kubelet. */
  readonly imagePullPolicy: string;
  /** Names of Secrets with which the images are pulled. */
  readonly imagePullSecrets: readonly string[];
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
  readonly agentLogLevel: string;
  readonly logAsJson: boolean;
  readonly capture: CaptureDefaults;
  readonly statusPort: number;
  readonly readiness: ReadinessDefaults;
  /** The sidecar's startup probe: once a second, so often; 0 for none. */
  readonly startupFailureThreshold: number;
  readonly resources: ResourceRequirements;
  /** Makes the proxy a sidecar container of Kubernetes, where the pod does not say otherwise. */
  readonly nativeSidecars: boolean;
  /** Whether the cluster is one of OpenShift: value `global.platform`. */
  readonly isOpenShift: boolean;
  /** User and group of the sidecars of a namespace. */
  readonly proxyIds: (namespace: string) => ProxyIds;
  /** Points probes at the agent, so that they work where only mTLS is accepted. */
  readonly rewriteProbes: boolean;
  /** Lets one scrape of the pod return the proxy's and the application's metrics. */
  readonly mergeMetrics: boolean;
  /** Starts the sidecar first and holds the application back until it is ready, unless the sidecar is a native one. */
  readonly holdApplicationUntilProxyStarts: boolean;
  /** Whether a CNI plug-in sets up capture; pods then only check that it did. */
  readonly cniEnabled: boolean;
  readonly privileged: boolean;
  readonly capNetBindService: boolean;
  /** Handlers of the sidecar's container instead of the built-in ones. */
  readonly lifecycle: Container['lifecycle'] | undefined;
  readonly seccompProfile: SecurityContext['seccompProfile'] | undefined;
  /** Annotations that every injected pod gets unless it has them. */
  readonly injectedAnnotations: Readonly<Record<string, string>>;
  readonly templates: TemplateSet;
  /** Variables of the sidecar that win over what its template says: those that a webhook's path names. */
  readonly proxyEnv: Readonly<Record<string, string>>;
  /** The installation's values as given, for templates of users. */
  readonly values: Readonly<Record<string, unknown>>;
  /** MeshConfig, for templates of users. */
  readonly meshConfig: Readonly<Record<string, unknown>>;
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
  clusterDomain: 'cluster.local',
  discoveryAddress: 'istiod.istio-system.svc:15012',
  caAddress: 'istiod.istio-system.svc:15012',
  proxyImage: 'meltemi/agent',
  initImage: 'meltemi/agent',
  imagePullPolicy: '',
  imagePullSecrets: [],
  proxyBinary: undefined,
  proxyConfig: {},
  httpProxyPort: 0,
  separateAddresses: false,
  logLevel: 'warning',
  componentLogLevel: 'misc:error',
  agentLogLevel: 'default:info',
  logAsJson: false,
  capture: {
    includeOutboundIPRanges: '*',
    excludeOutboundIPRanges: '',
    includeOutboundPorts: '',
    excludeOutboundPorts: '',
    includeInboundPorts: '*',
    excludeInboundPorts: '',
  },
  statusPort: 15_020,
  readiness: { initialDelaySeconds: 0, periodSeconds: 15, failureThreshold: 4 },
  // Ten minutes: a sidecar may have to wait for its control plane.
  startupFailureThreshold: 600,
  resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { cpu: '2000m', memory: '1024Mi' } },
  nativeSidecars: false,
  isOpenShift: false,
  proxyIds: () => DEFAULT_PROXY_IDS,
  rewriteProbes: true,
  mergeMetrics: true,
  holdApplicationUntilProxyStarts: false,
  cniEnabled: false,
  privileged: false,
  capNetBindService: false,
  lifecycle: undefined,
  seccompProfile: undefined,
  injectedAnnotations: {},
  templates: DEFAULT_TEMPLATE_SET,
  proxyEnv: {},
  values: {},
  meshConfig: {},
};

/** The configuration for pods of the cluster and network that a webhook's path names. */
export function configureTarget(config: InjectorConfig, { clusterId, network, env }: InjectPath): InjectorConfig {
  const named = {
    ...env,
    ...(clusterId === undefined ? {} : { ISTIO_META_CLUSTER_ID: clusterId }),
    ...(network === undefined ? {} : { ISTIO_META_NETWORK: network }),
  };
  return {
    ...config,
    clusterId: clusterId ?? config.clusterId,
    network: network ?? config.network,
    proxyEnv: { ...config.proxyEnv, ...named },
  };
}
