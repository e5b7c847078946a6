import { CONTROL_PLANE_CLUSTERS_ANNOTATION, type ManifestObject, NETWORK_LABEL } from '@meltemi/control-plane';
import {
  type KubeClient,
  MUTATING_WEBHOOK_CONFIGURATIONS,
  NAMESPACES,
  type Namespace,
  VALIDATING_WEBHOOK_CONFIGURATIONS,
} from '@meltemi/kube';
import { type InstallPlan, plannedObjects } from './install-plan.ts';

/** Tag that pods get when they name no revision. */
const DEFAULT_TAG_SELECTOR = 'istio.io/tag=default';
/** The webhook that validates configuration without a revision. */
export const DEFAULT_VALIDATOR = 'istiod-default-validator';
/** Chooses no namespace: while the tag `default` leads elsewhere, the default revision is asked about nothing. */
export const DEACTIVATED_SELECTOR: { readonly matchLabels: Readonly<Record<string, string>> } = {
  matchLabels: { 'istio.io/deactivated': 'never-match' },
};

interface WebhookManifest extends ManifestObject {
  readonly webhooks: readonly { readonly name: string; readonly failurePolicy: string }[];
}

/**
 * Fits a plan to what is in the cluster: validation that is binding stays so, what the tag `default` has given to another
 * revision is not taken back, and a namespace that another revision shares keeps what it says about the cluster.
 */
export async function withLiveState(client: KubeClient, plan: InstallPlan): Promise<readonly ManifestObject[]> {
  const [tag] = (await client.list(MUTATING_WEBHOOK_CONFIGURATIONS, { labelSelector: DEFAULT_TAG_SELECTOR })).items;
  const validators = new Map(
    (await client.list(VALIDATING_WEBHOOK_CONFIGURATIONS)).items.map((object) => [object.metadata.name, object]),
  );
  const validator = validators.get(DEFAULT_VALIDATOR);
  const validates = validator?.metadata.labels?.['istio.io/rev'];
  const namespaces = await Promise.all(
    plan.namespaces.map(async (object) =>
      withTopology(object, await client.find(NAMESPACES, { name: object.metadata.name })),
    ),
  );
  return plannedObjects({ ...plan, namespaces }).flatMap((object): readonly ManifestObject[] => {
    if (object.kind === 'MutatingWebhookConfiguration' && tag !== undefined) return [deactivated(object)];
    if (object.kind !== 'ValidatingWebhookConfiguration') return [object];
    const isTaken = validates !== undefined && (tag !== undefined || validates !== plan.spec.revision);
    if (object.metadata.name === DEFAULT_VALIDATOR && isTaken) return [];
    const live = validators.get(object.metadata.name);
    const policies = new Map(live?.webhooks?.map(({ name, failurePolicy }) => [name, failurePolicy]));
    return [
      {
        ...object,
        webhooks: (object as WebhookManifest).webhooks.map((webhook) => ({
          ...webhook,
          failurePolicy: policies.get(webhook.name) ?? webhook.failurePolicy,
        })),
      },
    ];
  });
}

function withTopology(object: ManifestObject, live: Namespace | undefined): ManifestObject {
  const { labels, annotations, ...metadata } = object.metadata;
  const network = labels?.[NETWORK_LABEL] ?? live?.metadata.labels?.[NETWORK_LABEL];
  const consent =
    annotations?.[CONTROL_PLANE_CLUSTERS_ANNOTATION] ?? live?.metadata.annotations?.[CONTROL_PLANE_CLUSTERS_ANNOTATION];
  return {
    ...object,
    metadata: {
      ...metadata,
      labels: { ...labels, ...(network === undefined ? {} : { [NETWORK_LABEL]: network }) },
      annotations: {
        ...annotations,
        ...(consent === undefined ? {} : { [CONTROL_PLANE_CLUSTERS_ANNOTATION]: consent }),
      },
    },
  };
}

function deactivated(object: ManifestObject): ManifestObject {
  if (object.metadata.labels?.['istio.io/rev'] !== 'default') return object;
  const { webhooks } = object as WebhookManifest;
  return { ...object, webhooks: webhooks.map((webhook) => ({ ...webhook, namespaceSelector: DEACTIVATED_SELECTOR })) };
}
