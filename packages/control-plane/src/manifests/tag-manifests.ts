import { CONTROL_PLANE_CHART } from './charts/control-plane-chart.ts';
import { TAG_CHART } from './charts/tag-chart.ts';
import { type ManifestObject, SYSTEM_NAMESPACE } from './manifest-object.ts';
import { renderChart } from './template/evaluate.ts';
import type { JsonMap } from './template/values-table.ts';

/** What a revision tag consists of. */
export interface TagManifestOptions {
  readonly tag: string;
  readonly revision: string;
  /** Default `istio-revision-tag-<tag>`. */
  readonly webhookName?: string | undefined;
  /** Namespace of the revision's control plane, or of its reader's account. */
  readonly namespace: string;
  /** Who writes the webhook's certificate: the control plane's account, in a remote cluster the reader's. */
  readonly account: string;
  /** Of the revision's own webhook: where it asks, and by which certificate. */
  readonly clientConfig: JsonMap;
  readonly reinvocationPolicy: string;
  readonly autoInjectNamespaces: boolean;
}

/** The objects of a tag: its webhook, the right to complete that, and for `default` the validating webhook. */
export function tagManifests(options: TagManifestOptions): readonly ManifestObject[] {
  const { namespace, webhookName, clientConfig, ...values } = options;
  const name = webhookName ?? `istio-revision-tag-${options.tag}`;
  const { url, service } = clientConfig as { readonly url?: string; readonly service?: JsonMap };
  // The injector and the validation of a control plane are behind one address.
  const validationClientConfig: JsonMap =
    service === undefined
      ? { ...clientConfig, url: new URL('/validate', url).href }
      : { ...clientConfig, service: { ...service, path: '/validate' } };
  return renderChart(TAG_CHART, {
    namespace,
    releaseName: name,
    values: [{ ...values, name, clientConfig, validationClientConfig }],
  }).objects;
}

/** Which namespaces each of the default revision's webhooks is for, by the webhook's name. */
export function defaultNamespaceSelectors(): ReadonlyMap<string, unknown> {
  const values = { sidecarInjectorWebhook: { enableNamespacesByDefault: true } };
  const { objects } = renderChart(CONTROL_PLANE_CHART, {
    namespace: SYSTEM_NAMESPACE,
    releaseName: 'istiod',
    values: [values],
  });
  const webhooks = objects
    .filter(({ kind }) => kind === 'MutatingWebhookConfiguration')
    // The chart's own configuration.
    .flatMap(
      (object) => object['webhooks'] as readonly { readonly name: string; readonly namespaceSelector: unknown }[],
    );
  return new Map(webhooks.map((webhook) => [webhook.name, webhook.namespaceSelector]));
}
