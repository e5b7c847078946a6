import type { Service as KubeService } from '@meltemi/kube';
import {
  formatSpiffeId,
  type Resolution,
  resolveProtocol,
  type Service,
  type ServiceAttributes,
  type ServicePort,
  UNSPECIFIED_ADDRESS,
} from '@meltemi/model';

/** Annotation of a Service: the namespaces that may see it, comma separated. */
const EXPORT_TO_ANNOTATION = 'networking.istio.io/exportTo';
/** Annotation of a Service, or of its namespace: which endpoints are preferred. */
const DISTRIBUTION_ANNOTATION = 'networking.istio.io/traffic-distribution';
/** Annotation of a Service: further SPIFFE IDs that its workloads run as, comma separated. */
const CANONICAL_ACCOUNTS_ANNOTATION = 'alpha.istio.io/canonical-serviceaccounts';
/** Annotation of a Service: further service accounts of its namespace, comma separated. */
const KUBERNETES_ACCOUNTS_ANNOTATION = 'alpha.istio.io/kubernetes-serviceaccounts';

/** What a Service means, besides what it says itself. */
export interface ServiceContext {
  readonly clusterId: string;
  readonly domainSuffix: string;
  readonly trustDomain: string;
  readonly namespaceAnnotations?: Readonly<Record<string, string>> | undefined;
}

/** The host name of a Kubernetes service. */
export function serviceHostname(name: string, namespace: string, domainSuffix: string): string {
  return `${name}.${namespace}.svc.${domainSuffix}`;
}

/**
 * A service as one cluster knows it: its virtual addresses there, and of the service accounts those that annotations
 * name. The accounts of its endpoints are added when clusters are merged.
 */
export function toService(object: KubeService, context: ServiceContext): Service {
  const { name, namespace = 'default', annotations = {} } = object.metadata;
  const addresses = virtualAddresses(object);
  return Object.freeze({
    hostname: serviceHostname(name, namespace, context.domainSuffix),
    namespace,
    name,
    clusterVIPs: new Map(addresses.length === 0 ? [] : [[context.clusterId, addresses]]),
    defaultAddress: addresses[0] ?? UNSPECIFIED_ADDRESS,
    ports: (object.spec.ports ?? []).map(
      (port): ServicePort => ({
        name: port.name ?? '',
        number: port.port,
        protocol: resolveProtocol({
          name: port.name,
          appProtocol: port.appProtocol,
          transport: port.protocol,
          number: port.port,
        }),
      }),
    ),
    resolution: resolutionOf(object),
    meshExternal: object.spec.type === 'ExternalName',
    exportTo: splitList(annotations[EXPORT_TO_ANNOTATION]),
    serviceAccounts: annotatedAccounts(annotations, namespace, context.trustDomain),
    attributes: attributesOf(object, context),
  });
}

function resolutionOf({ spec }: KubeService): Resolution {
  if (spec.type === 'ExternalName') return 'Alias';
  return spec.clusterIP === 'None' ? 'Passthrough' : 'ClientSideLB';
}

function virtualAddresses({ spec }: KubeService): readonly string[] {
  const addresses = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
  return addresses.filter((address) => address !== '' && address !== 'None');
}

function attributesOf({ metadata, spec }: KubeService, context: ServiceContext): ServiceAttributes {
  const { name, namespace = 'default', annotations = {}, labels = {}, creationTimestamp } = metadata;
  const distribution =
    // A field of newer API servers.
    (spec as { readonly trafficDistribution?: string }).trafficDistribution ??
    annotations[DISTRIBUTION_ANNOTATION] ??
    context.namespaceAnnotations?.[DISTRIBUTION_ANNOTATION];
  return {
    registry: 'Kubernetes',
    labels,
    ...(spec.externalName === undefined ? {} : { externalName: spec.externalName }),
    ...(distribution === undefined ? {} : { trafficDistribution: distribution }),
    ...(spec.internalTrafficPolicy === 'Local' ? { internalTrafficPolicy: 'Local' } : {}),
    ...(spec.publishNotReadyAddresses === true ? { publishNotReadyAddresses: true } : {}),
    creationTimestampMs: creationTimestamp === undefined ? 0 : Date.parse(creationTimestamp),
    sourceKey: `Service/${namespace}/${name}`,
  };
}

function annotatedAccounts(
  annotations: Readonly<Record<string, string>>,
  namespace: string,
  trustDomain: string,
): readonly string[] {
  const own = splitList(annotations[KUBERNETES_ACCOUNTS_ANNOTATION]).map((serviceAccount) =>
    formatSpiffeId({ trustDomain, namespace, serviceAccount }),
  );
  return [...splitList(annotations[CANONICAL_ACCOUNTS_ANNOTATION]), ...own].toSorted();
}

function splitList(text: string | undefined): readonly string[] {
  return (text ?? '')
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}
