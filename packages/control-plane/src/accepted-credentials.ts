import { MeltemiError } from '@meltemi/base';
import { RISKY_KUBECONFIG_FIELDS, type RiskyKubeconfigField } from '@meltemi/kube';

/** What Istio's `PILOT_INSECURE_MULTICLUSTER_KUBECONFIG_OPTIONS` calls otherwise than a kubeconfig does. */
const ISTIO_NAMES: ReadonlyMap<string, RiskyKubeconfigField> = new Map([
  ['clientKey', 'client-key'],
  ['clientCertificate', 'client-certificate'],
  ...['gcp', 'azure', 'openstack', 'oidc'].map((provider) => [provider, 'auth-provider'] as const),
]);

/**
 * Reads which risky fields the kubeconfigs of remote clusters may have, comma separated, by Istio's names or by those
 * of the kubeconfig.
 *
 * @throws MeltemiError `USAGE` for a name that is none: an operator must not believe that something is accepted.
 */
export function parseAcceptedCredentials(text: string): ReadonlySet<RiskyKubeconfigField> {
  const fields = text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
    .map((name) => {
      const field = ISTIO_NAMES.get(name) ?? RISKY_KUBECONFIG_FIELDS.find((known) => known === name);
      if (field !== undefined) return field;
      throw new MeltemiError(
        'USAGE',
        `Cannot read insecure-kubeconfig-options: "${name}" is not one of ${[...RISKY_KUBECONFIG_FIELDS, ...ISTIO_NAMES.keys()].join(', ')}`,
      );
    });
  return new Set(fields);
}
