import { crds } from '@meltemi/api';
import { stringify } from 'yaml';
import { controlPlaneAccess } from './access-rules.ts';
import {
  CONTROL_PLANE_NAME,
  controlPlaneLabels,
  type ManifestObject,
  SERVICE_PORTS,
  SYSTEM_NAMESPACE,
  systemNamespace,
} from './manifest-object.ts';
import { injectionWebhook, validationWebhook } from './webhook-configurations.ts';

/** What an installation of the control plane can be given. */
export interface ControlPlaneManifestOptions {
  /** The cluster that it runs in; also how that cluster is known in the mesh. */
  readonly clusterName: string;
  /** The network that the cluster is on. Default: the mesh has one network, without a name. */
  readonly network?: string | undefined;
  /** Default `meltemi/control-plane`. */
  readonly image?: string | undefined;
  /** MeshConfig as written; absent fields keep their defaults. */
  readonly meshConfig?: Readonly<Record<string, unknown>> | undefined;
  /** Further environment variables of the control plane. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** An executable that sidecars run instead of Meltemi's own proxy, such as Envoy's. */
  readonly proxyBinary?: string | undefined;
  /** Whether kubelets give each pod a second address for its application, as the `loopback` sandbox does. Default: no. */
  readonly separateAddresses?: boolean | undefined;
}

/** Everything that a cluster with a control plane needs, in the order in which it is applied. */
export function controlPlaneManifests(options: ControlPlaneManifestOptions): readonly ManifestObject[] {
  return [
    systemNamespace({ network: options.network }),
    // The definitions of `api` are complete objects; only their index signature is missing.
    ...crds().map((definition) => definition as unknown as ManifestObject),
    ...controlPlaneAccess(),
    configMap('istio', { mesh: stringify(options.meshConfig ?? {}) }),
    configMap('istio-sidecar-injector', injectorData(options)),
    service(),
    deployment(options),
    injectionWebhook(),
    validationWebhook(),
  ];
}

/** Writes objects as one YAML text. */
export function toYamlText(objects: readonly ManifestObject[]): string {
  return objects.map((object) => stringify(object, { lineWidth: 0, aliasDuplicateObjects: false })).join('---\n');
}

function configMap(name: string, data: Readonly<Record<string, string>>): ManifestObject {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: SYSTEM_NAMESPACE, labels: controlPlaneLabels() },
    data,
  };
}

/** The injector's settings, by the names of Istio's installation values. */
function injectorData({
  clusterName,
  network,
  proxyBinary,
  separateAddresses = false,
}: ControlPlaneManifestOptions): Readonly<Record<string, string>> {
  const proxy = {
    ...(proxyBinary === undefined ? {} : { binary: proxyBinary }),
    ...(separateAddresses ? { separateAddresses } : {}),
  };
  const values = {
    global: {
      multiCluster: { clusterName },
      ...(network === undefined ? {} : { network }),
      ...(Object.keys(proxy).length === 0 ? {} : { proxy }),
    },
  };
  return { config: stringify({ policy: 'enabled' }), values: `${JSON.stringify(values, null, 2)}\n` };
}

function service(): ManifestObject {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: CONTROL_PLANE_NAME, namespace: SYSTEM_NAMESPACE, labels: controlPlaneLabels() },
    spec: { selector: { app: CONTROL_PLANE_NAME, istio: 'pilot' }, ports: SERVICE_PORTS },
  };
}

function deployment(options: ControlPlaneManifestOptions): ManifestObject {
  const labels = { ...controlPlaneLabels(), 'sidecar.istio.io/inject': 'false' };
  const fieldRef = (name: string, fieldPath: string): object => ({ name, valueFrom: { fieldRef: { fieldPath } } });
  const env = [
    { name: 'CLUSTER_ID', value: options.clusterName },
    fieldRef('POD_NAME', 'metadata.name'),
    fieldRef('POD_NAMESPACE', 'metadata.namespace'),
    fieldRef('POD_IP', 'status.podIP'),
    fieldRef('SERVICE_ACCOUNT', 'spec.serviceAccountName'),
    ...Object.entries(options.env ?? {}).map(([name, value]) => ({ name, value })),
  ];
  const container = {
    name: 'discovery',
    image: options.image ?? 'meltemi/control-plane',
    env,
    ports: [
      { name: 'http-debug', containerPort: 8080 },
      { name: 'grpc-xds', containerPort: 15010 },
      { name: 'tls-xds', containerPort: 15012 },
      { name: 'https-webhooks', containerPort: 15017 },
      { name: 'http-monitoring', containerPort: 15014 },
    ],
    readinessProbe: { httpGet: { path: '/ready', port: 8080 }, periodSeconds: 1, timeoutSeconds: 5 },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      runAsUser: 1337,
      runAsGroup: 1337,
      capabilities: { drop: ['ALL'] },
    },
    resources: { requests: { cpu: '100m', memory: '256Mi' } },
    volumeMounts: [{ name: 'cacerts', mountPath: '/etc/cacerts', readOnly: true }],
  };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: CONTROL_PLANE_NAME, namespace: SYSTEM_NAMESPACE, labels: controlPlaneLabels() },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: CONTROL_PLANE_NAME, istio: 'pilot' } },
      template: {
        metadata: {
          labels,
          annotations: { 'prometheus.io/scrape': 'true', 'prometheus.io/port': '15014' },
        },
        spec: {
          serviceAccountName: CONTROL_PLANE_NAME,
          terminationGracePeriodSeconds: 10,
          containers: [container],
          // Absent: the control plane makes and keeps a root of its own.
          volumes: [{ name: 'cacerts', secret: { secretName: 'cacerts', optional: true } }],
        },
      },
    },
  };
}
