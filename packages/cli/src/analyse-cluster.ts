import type { KubeObject, MutatingWebhookConfiguration, Namespace, Pod, Service } from '@meltemi/kube';
import type { AnalysisFinding } from './analyse-objects.ts';

/** What is looked at of one cluster. */
export interface ClusterState {
  readonly cluster: string;
  readonly namespaces: readonly Namespace[];
  readonly pods: readonly Pod[];
  readonly services: readonly Service[];
  /** Of every installation, injecting and validating. */
  readonly webhooks: readonly WebhookConfiguration[];
}

/** A configuration of webhooks of either kind. */
export type WebhookConfiguration = KubeObject & Pick<MutatingWebhookConfiguration, 'webhooks'>;

/** Whose webhooks these are. */
const REVISION_LABEL = 'istio.io/rev';
const INJECTION_LABEL = 'istio-injection';
const INJECT = 'sidecar.istio.io/inject';
const STATUS = 'sidecar.istio.io/status';

/** What is wrong with an installation and with the pods that it looks after. */
export function analyseCluster(state: ClusterState): readonly AnalysisFinding[] {
  return [
    ...state.namespaces.flatMap((namespace) => namespaceFaults(namespace, state)),
    ...missingProxies(state),
    ...state.webhooks.flatMap((configuration) => webhookFaults(configuration, state)),
  ];
}

function namespaceFaults({ metadata }: Namespace, { cluster }: ClusterState): readonly AnalysisFinding[] {
  const { [INJECTION_LABEL]: injection, [REVISION_LABEL]: revision } = metadata.labels ?? {};
  if (injection === undefined || revision === undefined) return [];
  return [
    {
      severity: 'warning',
      code: 'IST0123',
      kind: 'Namespace',
      namespace: metadata.name,
      name: metadata.name,
      place: cluster,
      path: 'metadata.labels',
      message: `${INJECTION_LABEL}=${injection} counts, ${REVISION_LABEL}=${revision} does not; remove one of them`,
    },
  ];
}

function missingProxies({ cluster, namespaces, pods }: ClusterState): readonly AnalysisFinding[] {
  const injected = new Set(namespaces.filter(isInjected).map(({ metadata }) => metadata.name));
  return pods
    .filter((pod) => injected.has(pod.metadata.namespace ?? '') && wantsProxy(pod) && !hasProxy(pod))
    .map(({ metadata: { name, namespace = '' } }) => ({
      severity: 'warning',
      code: 'IST0103',
      kind: 'Pod',
      namespace,
      name,
      place: cluster,
      path: '',
      message: 'the pod has no sidecar, though its namespace asks for one; it was created before, so create it anew',
    }));
}

function isInjected({ metadata }: Namespace): boolean {
  const { [INJECTION_LABEL]: injection, [REVISION_LABEL]: revision } = metadata.labels ?? {};
  return injection === undefined ? revision !== undefined : injection === 'enabled';
}

function wantsProxy({ metadata, spec, status }: Pod): boolean {
  const wish = metadata.labels?.[INJECT] ?? metadata.annotations?.[INJECT];
  const isOver = metadata.deletionTimestamp !== undefined || ['Succeeded', 'Failed'].includes(status?.phase ?? '');
  return wish !== 'false' && spec.hostNetwork !== true && !isOver;
}

/** Injected pods say so; some templates bring no proxy. */
function hasProxy({ metadata, spec }: Pod): boolean {
  if (metadata.annotations?.[STATUS] !== undefined) return true;
  return [...spec.containers, ...(spec.initContainers ?? [])].some(({ name }) => name === 'istio-proxy');
}

function webhookFaults(
  { kind, metadata, webhooks = [] }: WebhookConfiguration,
  { cluster, services }: ClusterState,
): readonly AnalysisFinding[] {
  if (metadata.labels?.[REVISION_LABEL] === undefined) return [];
  return webhooks.flatMap(({ name, clientConfig: { service } }, index): AnalysisFinding[] => {
    const isThere = services.some(
      (known) => known.metadata.name === service?.name && known.metadata.namespace === service.namespace,
    );
    if (service === undefined || isThere) return [];
    const { namespace, name: serviceName } = service;
    return [
      {
        severity: 'error',
        code: 'IST0139',
        kind,
        namespace,
        name: metadata.name,
        place: cluster,
        path: `webhooks[${index}].clientConfig.service`,
        message: `webhook ${name} asks Service ${namespace}/${serviceName}, which does not exist; install its control plane again, or remove the webhook`,
      },
    ];
  });
}
