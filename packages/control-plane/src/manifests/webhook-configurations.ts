import { KINDS } from '@meltemi/api';
import { buildMutatingWebhookConfiguration } from '@meltemi/injector';
import {
  CONTROL_PLANE_NAME,
  controlPlaneLabels,
  type ManifestObject,
  SYSTEM_NAMESPACE,
  VALIDATION_WEBHOOK,
} from './manifest-object.ts';

/**
 * The webhook that adds sidecars to pods.
 *
 * The certificate that it is verified by is filled in by the control plane; until then pods of labelled namespaces
 * are refused rather than started without a sidecar.
 *
 * @param target The cluster and network of a remote cluster; absent in the control plane's own.
 */
export function injectionWebhook(target?: {
  readonly clusterId: string;
  readonly network?: string | undefined;
}): ManifestObject {
  const { clusterId, network } = target ?? {};
  const configuration = buildMutatingWebhookConfiguration({
    systemNamespace: SYSTEM_NAMESPACE,
    ...(clusterId === undefined ? {} : { target: { clusterId, ...(network === undefined ? {} : { network }) } }),
  });
  // The injector names its configuration; only the manifest's index signature is missing.
  return configuration as unknown as ManifestObject;
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
