import type { PodInfo } from './pod-info.ts';

/** The version of Istio whose configuration this data plane understands; control planes choose what to send by it. */
export const COMPATIBLE_ISTIO_VERSION = '1.32.0';

/** Who the proxy is: the `node` of the bootstrap. */
export interface BootstrapNode {
  readonly id: string;
  readonly cluster: string;
  readonly locality?: { readonly region?: string; readonly zone?: string; readonly sub_zone?: string };
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** What the node is built from. */
export interface NodeInput {
  /** `sidecar` or `router`. */
  readonly type: string;
  /** `POD_NAME`, `POD_NAMESPACE`, `INSTANCE_IP`, `SERVICE_ACCOUNT` and all `ISTIO_META_*` come from here. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly podInfo: PodInfo;
  /** DNS domain of the pod, such as `app1.svc.cluster.local`. */
  readonly domain: string;
  readonly serviceCluster: string;
  /** The pod's addresses, the primary one first. */
  readonly instanceIps: readonly string[];
  /** Where the application listens, when that is not the pod's address. */
  readonly applicationAddress?: string | undefined;
  readonly proxyConfig: Readonly<Record<string, unknown>>;
  readonly prometheusPort: number;
  readonly statusPort: number;
}

const META_PREFIX = 'ISTIO_META_';
const META_JSON_PREFIX = 'ISTIO_METAJSON_';

/** Builds the node from what the pod knows about itself. */
export function buildNode(input: NodeInput): BootstrapNode {
  const { env, podInfo, instanceIps } = input;
  const namespace = env['POD_NAMESPACE'] ?? 'default';
  const podName = env['POD_NAME'] ?? 'unknown';
  const app = podInfo.labels['app'];
  const locality = parseLocality(podInfo.labels['istio-locality']);
  return {
    id: [input.type, instanceIps[0] ?? '127.0.0.1', `${podName}.${namespace}`, input.domain].join('~'),
    cluster: app === undefined ? input.serviceCluster : `${app}.${namespace}`,
    ...(locality === undefined ? {} : { locality }),
    metadata: buildMetadata(input, namespace, podName),
  };
}

function buildMetadata(input: NodeInput, namespace: string, podName: string): Readonly<Record<string, unknown>> {
  const { env, podInfo } = input;
  return {
    NAME: podName,
    NAMESPACE: namespace,
    INSTANCE_IPS: input.instanceIps.join(','),
    SERVICE_ACCOUNT: env['SERVICE_ACCOUNT'] ?? 'default',
    ISTIO_VERSION: COMPATIBLE_ISTIO_VERSION,
    // Where nothing is mounted, a machine outside Kubernetes, labels come by the environment.
    LABELS: { ...podInfo.labels, ...parseObject(env[`${META_JSON_PREFIX}LABELS`]) },
    ANNOTATIONS: podInfo.annotations,
    PROXY_CONFIG: input.proxyConfig,
    ENVOY_PROMETHEUS_PORT: input.prometheusPort,
    ENVOY_STATUS_PORT: input.statusPort,
    ...(input.applicationAddress === undefined ? {} : { APP_ADDRESS: input.applicationAddress }),
    ...readMetaJson(env),
    ...readMeta(env),
  };
}

/** `ISTIO_META_CLUSTER_ID=cluster1` becomes `CLUSTER_ID: "cluster1"`. Values stay text: control planes parse them. */
function readMeta(env: NodeInput['env']): Readonly<Record<string, string>> {
  const entries = Object.entries(env).flatMap(([name, value]) =>
    name.startsWith(META_PREFIX) && value !== undefined ? [[name.slice(META_PREFIX.length), value] as const] : [],
  );
  return Object.fromEntries(entries);
}

/** Members of a JSON object in `ISTIO_METAJSON_X` become metadata of their own; what is no object is left out. */
function readMetaJson(env: NodeInput['env']): Readonly<Record<string, unknown>> {
  const metadata: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith(META_JSON_PREFIX) || value === undefined) continue;
    Object.assign(metadata, parseObject(value));
  }
  return metadata;
}

/** An unreadable value must not keep the proxy from starting; the control plane then sees no such keys. */
function parseObject(text: string | undefined): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text ?? '{}');
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
  } catch {
    return {};
  }
}

/** Label values cannot contain slashes, so `region.zone.subzone` is accepted too. */
function parseLocality(label: string | undefined): BootstrapNode['locality'] {
  if (label === undefined || label === '') return undefined;
  const [region, zone, subZone] = label.includes('/') ? label.split('/') : label.split('.');
  return {
    ...(region ? { region } : {}),
    ...(zone ? { zone } : {}),
    ...(subZone ? { sub_zone: subZone } : {}),
  };
}
