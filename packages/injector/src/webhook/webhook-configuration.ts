import type { LabelRequirement, LabelSelector, MutatingWebhookConfiguration, NewObject, Webhook } from '@meltemi/kube';
import { IGNORED_NAMESPACES, INJECT_NAME } from '../decision.ts';
import { formatInjectPath, type InjectPath } from './inject-path.ts';

/** End of the names of all injection webhooks; what comes before says which pods each is for. */
export const WEBHOOK_NAME_SUFFIX = 'sidecar-injector.istio.io';

const INJECTION_LABEL = 'istio-injection';
const REVISION_LABEL = 'istio.io/rev';
const NAMESPACE_NAME_LABEL = 'kubernetes.io/metadata.name';

/** For which revision and cluster the webhooks are. */
export interface WebhookConfigurationOptions {
  /** @default 'default' */
  readonly revision?: string;
  /** Namespace of the control plane. @default 'istio-system' */
  readonly systemNamespace?: string;
  /** Injects every pod of namespaces that say nothing, unless the pod refuses. @default false */
  readonly enableNamespacesByDefault?: boolean;
  /** Whether a pod that a later webhook has changed is asked about again. @default 'Never' */
  readonly reinvocationPolicy?: 'Never' | 'IfNeeded';
  /** The cluster and network that the webhook's calls name, in clusters that are not the control plane's own. */
  readonly target?: InjectPath;
  /** The roots that the API server checks the control plane by, PEM. Absent until they are known. */
  readonly caBundlePem?: string;
}

/** Builds the webhooks that send new pods to the injector. */
export function buildMutatingWebhookConfiguration(
  options: WebhookConfigurationOptions = {},
): NewObject<MutatingWebhookConfiguration> {
  const { revision = 'default', systemNamespace = 'istio-system' } = options;
  const { enableNamespacesByDefault = false } = options;
  const isDefault = revision === 'default';
  const suffix = isDefault ? '' : `-${revision}`;
  const build = createWebhookBuilder(options, systemNamespace, `istiod${suffix}`);
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: {
      name: `istio-sidecar-injector${suffix}${systemNamespace === 'istio-system' ? '' : `-${systemNamespace}`}`,
      labels: { 'istio.io/rev': revision, app: 'sidecar-injector' },
    },
    webhooks: [
      build('rev.namespace', [inValues(REVISION_LABEL, revision), absent(INJECTION_LABEL)], [notFalse()]),
      build(
        'rev.object',
        [absent(REVISION_LABEL), absent(INJECTION_LABEL)],
        [notFalse(), inValues(REVISION_LABEL, revision)],
      ),
      ...(isDefault
        ? [
            build('namespace', [inValues(INJECTION_LABEL, 'enabled')], [notFalse()]),
            build(
              'object',
              [absent(INJECTION_LABEL), absent(REVISION_LABEL)],
              [inValues(INJECT_NAME, 'true'), absent(REVISION_LABEL)],
            ),
          ]
        : []),
      ...(isDefault && enableNamespacesByDefault
        ? [
            build(
              'auto',
              [
                absent(INJECTION_LABEL),
                absent(REVISION_LABEL),
                { key: NAMESPACE_NAME_LABEL, operator: 'NotIn', values: [...IGNORED_NAMESPACES] },
              ],
              [absent(INJECT_NAME), absent(REVISION_LABEL)],
            ),
          ]
        : []),
    ],
  };
}

type BuildWebhook = (
  prefix: string,
  namespaces: readonly LabelRequirement[],
  objects: readonly LabelRequirement[],
) => Webhook;

function createWebhookBuilder(
  { target = {}, caBundlePem, reinvocationPolicy = 'Never' }: WebhookConfigurationOptions,
  systemNamespace: string,
  serviceName: string,
): BuildWebhook {
  const service = { namespace: systemNamespace, name: serviceName, path: formatInjectPath(target), port: 443 };
  const caBundle = caBundlePem === undefined ? {} : { caBundle: Buffer.from(caBundlePem).toString('base64') };
  return (prefix, namespaces, objects) => ({
    name: `${prefix}.${WEBHOOK_NAME_SUFFIX}`,
    clientConfig: { service, ...caBundle },
    rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }],
    // The control plane's own namespace is no exception, since gateways run there; its own pods refuse by their label.
    namespaceSelector: select(namespaces),
    objectSelector: select(objects),
    failurePolicy: 'Fail',
    reinvocationPolicy,
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
  });
}

function select(matchExpressions: readonly LabelRequirement[]): LabelSelector {
  return { matchExpressions };
}

function inValues(key: string, ...values: readonly string[]): LabelRequirement {
  return { key, operator: 'In', values };
}

function absent(key: string): LabelRequirement {
  return { key, operator: 'DoesNotExist' };
}

function notFalse(): LabelRequirement {
  return { key: INJECT_NAME, operator: 'NotIn', values: ['false'] };
}
