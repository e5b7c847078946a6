import type { EnvVar } from '@meltemi/kube';
import type { SidecarInput } from './sidecar-input.ts';

/** Where a ConfigMap that overrides the bootstrap is mounted. */
export const CUSTOM_BOOTSTRAP_PATH = '/etc/istio/custom-bootstrap';

/** The environment of the sidecar's container, in the order in which manifests of Istio have it. */
export function buildSidecarEnv(input: SidecarInput): readonly EnvVar[] {
  const { config, workload, annotations } = input;
  const ports = input.applicationPorts.map(({ name, containerPort, protocol }) => ({
    ...(name === undefined ? {} : { name }),
    containerPort,
    ...(protocol === undefined ? {} : { protocol }),
  }));
  return [
    { name: 'PILOT_CERT_PROVIDER', value: 'istiod' },
    { name: 'CA_ADDR', value: config.caAddress },
    fromField('POD_NAME', 'metadata.name'),
    fromField('POD_NAMESPACE', 'metadata.namespace'),
    fromField('INSTANCE_IP', 'status.podIP'),
    fromField('SERVICE_ACCOUNT', 'spec.serviceAccountName'),
    fromField('HOST_IP', 'status.hostIP'),
    fromResource('ISTIO_CPU_LIMIT', 'limits.cpu'),
    { name: 'PROXY_CONFIG', value: JSON.stringify(input.proxyConfig) },
    { name: 'ISTIO_META_POD_PORTS', value: JSON.stringify(ports) },
    { name: 'ISTIO_META_APP_CONTAINERS', value: input.applicationContainers.join(',') },
    fromResource('GOMEMLIMIT', 'limits.memory'),
    { name: 'ISTIO_META_CLUSTER_ID', value: config.clusterId },
    fromField('ISTIO_META_NODE_NAME', 'spec.nodeName'),
    { name: 'ISTIO_META_INTERCEPTION_MODE', value: input.interceptionMode },
    ...optional('ISTIO_META_NETWORK', config.network),
    { name: 'ISTIO_META_WORKLOAD_NAME', value: workload.name },
    { name: 'ISTIO_META_OWNER', value: workload.owner },
    ...(annotations['sidecar.istio.io/bootstrapOverride'] === undefined
      ? []
      : [{ name: 'ISTIO_BOOTSTRAP_OVERRIDE', value: `${CUSTOM_BOOTSTRAP_PATH}/custom_bootstrap.json` }]),
    { name: 'ISTIO_META_MESH_ID', value: config.meshId },
    { name: 'TRUST_DOMAIN', value: config.trustDomain },
    ...optional('MELTEMI_PROXY_BINARY', config.proxyBinary),
    ...proxyMetadataEnv(input.proxyConfig),
  ];
}

/** `proxyMetadata` of ProxyConfig: each member is one variable. */
export function proxyMetadataEnv(proxyConfig: Readonly<Record<string, unknown>>): readonly EnvVar[] {
  const metadata = proxyConfig['proxyMetadata'];
  if (typeof metadata !== 'object' || metadata === null) return [];
  return Object.entries(metadata).map(([name, value]) => ({ name, value: String(value) }));
}

/** A variable that a field of the pod gives. */
export function fromField(name: string, fieldPath: string): EnvVar {
  return { name, valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath } } };
}

function fromResource(name: string, resource: string): EnvVar {
  return { name, valueFrom: { resourceFieldRef: { resource, divisor: '1' } } };
}

function optional(name: string, value: string | undefined): readonly EnvVar[] {
  return value === undefined || value === '' ? [] : [{ name, value }];
}
