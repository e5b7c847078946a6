/** An object as it is applied: the API server completes the rest. */
export interface ManifestObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

/** The namespace of the control plane, in its own cluster and in every cluster that it serves. */
export const SYSTEM_NAMESPACE = 'istio-system';
/** Name of the control plane's Deployment, Service and service account. */
export const CONTROL_PLANE_NAME = 'istiod';
/** The account whose token a remote secret holds. */
export const READER_SERVICE_ACCOUNT = 'istio-reader-service-account';
/** Configuration of the sidecar webhook. */
export const INJECTION_WEBHOOK = 'istio-sidecar-injector';
/** Label of a system namespace: the network that its cluster is on. */
export const NETWORK_LABEL = 'topology.istio.io/network';
/** Annotation of a remote cluster's system namespace: the clusters whose control planes may look after it; `*` for any. */
export const CONTROL_PLANE_CLUSTERS_ANNOTATION = 'topology.istio.io/controlPlaneClusters';
/** ConfigMap with the mesh's root certificates, in every namespace. */
export const ROOT_CERTIFICATE_MAP = 'istio-ca-root-cert';
/** ConfigMap with the revocation lists of a plugged-in CA, in every namespace. */
export const REVOCATION_MAP = 'istio-ca-crl';
/** EndpointSlice in a remote cluster with the control plane's address. */
export const REMOTE_DISCOVERY_SLICE = 'istiod-remote';
/** Lease by which one control plane at a time looks after the namespaces of a cluster; by Istio's name. */
export const NAMESPACE_LEASE = 'istio-namespace-controller-election';
/** Lease by which one control plane at a time looks after the sidecar webhook of a remote cluster, and its own address there. */
export const REMOTE_WEBHOOK_LEASE = 'istio-remote-webhook-election';

const LABELS: Readonly<Record<string, string>> = { app: 'istiod', istio: 'pilot', 'istio.io/rev': 'default' };

/** Labels of everything that belongs to the control plane. */
export function controlPlaneLabels(): Readonly<Record<string, string>> {
  return LABELS;
}

/** Ports of the Service `istiod`; 15010 answers only where it is configured. */
export const SERVICE_PORTS: readonly {
  readonly name: string;
  readonly port: number;
  readonly targetPort: number;
  readonly protocol: 'TCP';
}[] = [
  { name: 'grpc-xds', port: 15010, targetPort: 15010, protocol: 'TCP' },
  { name: 'https-dns', port: 15012, targetPort: 15012, protocol: 'TCP' },
  { name: 'https-webhook', port: 443, targetPort: 15017, protocol: 'TCP' },
  { name: 'http-monitoring', port: 15014, targetPort: 15014, protocol: 'TCP' },
];

/** The system namespace of a cluster. */
export function systemNamespace(options: {
  /** Default `istio-system`. */
  readonly name?: string;
  readonly network?: string | undefined;
  readonly annotations?: Readonly<Record<string, string>>;
}): ManifestObject {
  return {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name: options.name ?? SYSTEM_NAMESPACE,
      ...(options.network === undefined ? {} : { labels: { [NETWORK_LABEL]: options.network } }),
      ...(options.annotations === undefined ? {} : { annotations: options.annotations }),
    },
  };
}
