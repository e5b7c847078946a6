import { KINDS } from '@meltemi/api';
import {
  CONTROL_PLANE_NAME,
  controlPlaneLabels,
  INJECTION_WEBHOOK,
  type ManifestObject,
  SYSTEM_NAMESPACE,
  VALIDATION_WEBHOOK,
} from './manifest-object.ts';

const INJECT_LABEL = 'sidecar.istio.io/inject';
const NAMESPACE_LABEL = 'istio-injection';
const REVISION_LABEL = 'istio.io/rev';

interface Expression {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values?: readonly string[];
}

const ABSENT = (key: string): Expression => ({ key, operator: 'DoesNotExist' });
const IN = (key: string, ...values: readonly string[]): Expression => ({ key, operator: 'In', values });
const NOT_IN = (key: string, ...values: readonly string[]): Expression => ({ key, operator: 'NotIn', values });

interface InjectionSelection {
  readonly prefix: string;
  readonly namespaces: readonly Expression[];
  readonly pods: readonly Expression[];
}

/** Which pods are injected: the label of the namespace decides, a pod may opt out, or in where its namespace is silent. */
const SELECTIONS: readonly InjectionSelection[] = [
  {
    prefix: 'rev.namespace.',
    namespaces: [IN(REVISION_LABEL, 'default'), ABSENT(NAMESPACE_LABEL)],
    pods: [NOT_IN(INJECT_LABEL, 'false')],
  },
  {
    prefix: 'rev.object.',
    namespaces: [ABSENT(REVISION_LABEL), ABSENT(NAMESPACE_LABEL)],
    pods: [NOT_IN(INJECT_LABEL, 'false'), IN(REVISION_LABEL, 'default')],
  },
  {
    prefix: 'namespace.',
    namespaces: [IN(NAMESPACE_LABEL, 'enabled')],
    pods: [NOT_IN(INJECT_LABEL, 'false')],
  },
  {
    prefix: 'object.',
    namespaces: [ABSENT(REVISION_LABEL), ABSENT(NAMESPACE_LABEL)],
    pods: [IN(INJECT_LABEL, 'true'), ABSENT(REVISION_LABEL)],
  },
];

/** The control plane never injects itself: that would be a circle. */
const NOT_SYSTEM_NAMESPACE = NOT_IN('kubernetes.io/metadata.name', SYSTEM_NAMESPACE);

/**
 * The webhook that adds sidecars to pods.
 *
 * The certificate that it is verified by is filled in by the control plane; until then pods of labelled namespaces
 * are refused rather than started without a sidecar.
 *
 * @param path `/inject`, or with the cluster and network of a remote cluster.
 */
export function injectionWebhook(path: string): ManifestObject {
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: INJECTION_WEBHOOK, labels: { ...controlPlaneLabels(), app: 'sidecar-injector' } },
    webhooks: SELECTIONS.map(({ prefix, namespaces, pods }) => ({
      name: `${prefix}sidecar-injector.istio.io`,
      clientConfig: { service: { name: CONTROL_PLANE_NAME, namespace: SYSTEM_NAMESPACE, path, port: 443 } },
      sideEffects: 'None',
      rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }],
      failurePolicy: 'Fail',
      reinvocationPolicy: 'Never',
      admissionReviewVersions: ['v1'],
      namespaceSelector: { matchExpressions: [...namespaces, NOT_SYSTEM_NAMESPACE] },
      objectSelector: { matchExpressions: pods },
    })),
  };
}

/** The webhook that validates configuration. It is passed over until the control plane has filled in its certificate. */
export function validationWebhook(): ManifestObject {
  const groups = [...new Set(KINDS.map((definition) => definition.group))];
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: VALIDATION_WEBHOOK, labels: controlPlaneLabels() },
    webhooks: [
      {
        name: 'validation.istio.io',
        clientConfig: {
          service: { name: CONTROL_PLANE_NAME, namespace: SYSTEM_NAMESPACE, path: '/validate', port: 443 },
        },
        sideEffects: 'None',
        rules: [{ operations: ['CREATE', 'UPDATE'], apiGroups: groups, apiVersions: ['*'], resources: ['*'] }],
        failurePolicy: 'Ignore',
        admissionReviewVersions: ['v1'],
      },
    ],
  };
}
