import { MeltemiError } from '@meltemi/base';
import { RISKY_KUBECONFIG_FIELDS, type RiskyKubeconfigField } from '@meltemi/kube';

/** What Istio's `PILOT_INSECURE_MULTICLUSTER_KUBECONFIG_OPTIONS` calls otherwise than a kubeconfig does. */
const ISTIO_NAMES: ReadonlyMap<string, RiskyKubeconfigField> = new Map([
  ['clientKey', 'client-key'],
  ['clientCertificate', 'client-certificate'],
  // Of client-go's plug-ins the only one that is there.
  ['oidc', 'auth-provider'],
]);

/** What is refused in every kubeconfig, with what to do instead. */
const NEVER_ACCEPTED: ReadonlyMap<string, string> = new Map([
  ...['gcp', 'azure', 'openstack'].map((name) => [name, 'use a token or exec'] as const),
  ['auth-provider', 'name the one that is, oidc'],
]);

/** What may be accepted. */
const ACCEPTABLE: readonly RiskyKubeconfigField[] = RISKY_KUBECONFIG_FIELDS.filter((name) => !NEVER_ACCEPTED.has(name));

/**
 * Reads which risky fields the kubeconfigs of remote clusters may have, comma separated, by Istio's names or by those
 * of the kubeconfig.
 *
 * @throws MeltemiError `USAGE` for a name that is none, or that of something that is refused all the same: an operator must not
 *   believe that it is accepted.
 */
export function parseAcceptedCredentials(text: string): ReadonlySet<RiskyKubeconfigField> {
  const fields = text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
    .map((name) => {
      const instead = NEVER_ACCEPTED.get(name);
      if (instead !== undefined) {
        throw new MeltemiError(
          'USAGE',
          `Cannot accept "${name}" by insecure-kubeconfig-options: kubeconfigs that have it are not supported; ${instead}, and take the name out`,
        );
      }
      const field = ISTIO_NAMES.get(name) ?? ACCEPTABLE.find((known) => known === name);
      if (field !== undefined) return field;
      throw new MeltemiError(
        'USAGE',
        `Cannot read insecure-kubeconfig-options: "${name}" is not one of ${[...ACCEPTABLE, ...ISTIO_NAMES.keys()].join(', ')}`,
      );
    });
  return new Set(fields);
}
