import type { TemplateValue } from '../go-template/index.ts';
import type { InjectorConfig } from '../injector-config.ts';
import type { SidecarInput } from '../sidecar/sidecar-input.ts';
import { ANY, enumeration, FLAG, INTEGER, listOf, struct, TEXT, TEXT_MAP, wrapped } from './go-structs.ts';
import { mergeOverlay } from './pod-overlay.ts';

const CONTAINER_PORT = struct({ Name: TEXT, HostPort: INTEGER, ContainerPort: INTEGER, Protocol: TEXT, HostIP: TEXT });
const CONTAINER = struct({
  Name: TEXT,
  Image: TEXT,
  Ports: listOf(CONTAINER_PORT),
  Args: listOf(TEXT),
  Command: listOf(TEXT),
  Env: listOf(struct({ Name: TEXT, Value: TEXT })),
  VolumeMounts: listOf(struct({ Name: TEXT, MountPath: TEXT, SubPath: TEXT, ReadOnly: FLAG })),
  WorkingDir: TEXT,
  ImagePullPolicy: TEXT,
});
const OBJECT_META = struct({
  Name: TEXT,
  GenerateName: TEXT,
  Namespace: TEXT,
  Labels: TEXT_MAP,
  Annotations: TEXT_MAP,
  OwnerReferences: listOf(struct({ APIVersion: TEXT, Kind: TEXT, Name: TEXT })),
});
const POD_SPEC = struct({
  Containers: listOf(CONTAINER),
  InitContainers: listOf(CONTAINER),
  Volumes: listOf(struct({ Name: TEXT })),
  ServiceAccountName: TEXT,
  NodeName: TEXT,
  NodeSelector: TEXT_MAP,
  HostNetwork: FLAG,
  RestartPolicy: TEXT,
  ImagePullSecrets: listOf(struct({ Name: TEXT })),
  DNSPolicy: TEXT,
  Hostname: TEXT,
});
const PROXY_CONFIG = struct({
  ConfigPath: TEXT,
  BinaryPath: TEXT,
  ServiceCluster: TEXT,
  DiscoveryAddress: TEXT,
  DrainDuration: TEXT,
  TerminationDrainDuration: TEXT,
  ProxyAdminPort: INTEGER,
  StatusPort: INTEGER,
  StatNameLength: INTEGER,
  InterceptionMode: enumeration('REDIRECT'),
  ControlPlaneAuthPolicy: enumeration('NONE'),
  Concurrency: wrapped(INTEGER),
  HoldApplicationUntilProxyStarts: wrapped(FLAG),
  ProxyMetadata: TEXT_MAP,
  Image: struct({ ImageType: TEXT }),
});
const MESH_CONFIG = struct({
  TrustDomain: TEXT,
  RootNamespace: TEXT,
  ProxyListenPort: INTEGER,
  ProxyInboundListenPort: INTEGER,
  ProxyHttpPort: INTEGER,
  EnablePrometheusMerge: wrapped(FLAG),
  DefaultConfig: PROXY_CONFIG,
  ExtensionProviders: listOf(ANY),
});
const WORKLOAD_TYPE = struct({ APIVersion: TEXT, Kind: TEXT });
const NAMESPACED_NAME = struct({ Name: TEXT, Namespace: TEXT });

/**
 * What templates of users see, by the names that Istio's templates use.
 *
 * @see istio, pkg/kube/inject/inject.go, SidecarTemplateData
 */
export function buildTemplateData(input: SidecarInput): Readonly<Record<string, TemplateValue>> {
  const { config, pod, namespace, workload } = input;
  const meta = { ...pod.metadata, namespace: pod.metadata.namespace ?? namespace };
  const { inboundTrafficPolicy } = config.meshConfig;
  return {
    TypeMeta: WORKLOAD_TYPE({ apiVersion: workload.apiVersion, kind: workload.kind }),
    DeploymentMeta: NAMESPACED_NAME({ name: workload.name, namespace }),
    ObjectMeta: OBJECT_META(meta),
    Spec: POD_SPEC(pod.spec),
    ProxyConfig: PROXY_CONFIG(input.proxyConfig),
    MeshConfig: MESH_CONFIG(config.meshConfig),
    Values: buildValues(config),
    Revision: config.revision,
    NativeSidecars: input.placement === 'native',
    ProxyImage: input.proxyImage,
    ProxyInitImage: input.initImage,
    ProxyUID: BigInt(input.proxyIds.uid),
    ProxyGID: BigInt(input.proxyIds.gid),
    InboundTrafficPolicyMode: modeOf(inboundTrafficPolicy) === 'LOCALHOST' ? 'localhost' : 'passthrough',
    CompliancePolicy: '',
  };
}

function modeOf(policy: unknown): unknown {
  return typeof policy === 'object' && policy !== null && 'mode' in policy ? policy.mode : undefined;
}

/**
 * The installation's values over those that templates of Istio count on and that are settled otherwise here: a copy, as
 * `set`, `unset` and `merge` change what they are given, and no template may change what the next pod gets.
 */
function buildValues(config: InjectorConfig): object {
  const { capture, readiness, resources } = config;
  const fallback = {
    revision: config.revision === 'default' ? '' : config.revision,
    global: {
      istioNamespace: 'istio-system',
      platform: config.isOpenShift ? 'openshift' : '',
      pilotCertProvider: 'istiod',
      jwtPolicy: 'third-party-jwt',
      caName: '',
      caAddress: config.caAddress,
      imagePullPolicy: config.imagePullPolicy,
      imagePullSecrets: config.imagePullSecrets,
      logAsJson: config.logAsJson,
      logging: { level: config.agentLogLevel },
      meshID: config.meshId,
      trustDomain: config.trustDomain,
      network: config.network,
      multiCluster: { clusterName: config.clusterId },
      mountMtlsCerts: false,
      nativeNftables: false,
      sds: { token: { aud: 'istio-ca' } },
      sts: { servicePort: 0 },
      proxy_init: { image: config.initImage },
      proxy: {
        image: config.proxyImage,
        clusterDomain: config.clusterDomain,
        logLevel: config.logLevel,
        componentLogLevel: config.componentLogLevel,
        privileged: config.privileged,
        capNetBindService: config.capNetBindService,
        enableCoreDump: false,
        holdApplicationUntilProxyStarts: config.holdApplicationUntilProxyStarts,
        statusPort: config.statusPort,
        readinessInitialDelaySeconds: readiness.initialDelaySeconds,
        readinessPeriodSeconds: readiness.periodSeconds,
        readinessFailureThreshold: readiness.failureThreshold,
        startupProbe: {
          enabled: config.startupFailureThreshold > 0,
          failureThreshold: config.startupFailureThreshold,
        },
        includeIPRanges: capture.includeOutboundIPRanges,
        excludeIPRanges: capture.excludeOutboundIPRanges,
        includeOutboundPorts: capture.includeOutboundPorts,
        excludeOutboundPorts: capture.excludeOutboundPorts,
        includeInboundPorts: capture.includeInboundPorts,
        excludeInboundPorts: capture.excludeInboundPorts,
        resources,
        tracer: '',
      },
    },
    pilot: { cni: { enabled: config.cniEnabled, provider: 'default' } },
    istio_cni: { enabled: config.cniEnabled, chained: true },
    gateways: { seccompProfile: {}, securityContext: {} },
    sidecarInjectorWebhook: { rewriteAppHTTPProbe: config.rewriteProbes },
  };
  return structuredClone(mergeOverlay(fallback, config.values));
}
