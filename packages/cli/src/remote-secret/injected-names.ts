import { parseInjectPath } from '@meltemi/injector';
import { type KubeClient, MUTATING_WEBHOOK_CONFIGURATIONS, type MutatingWebhookConfiguration } from '@meltemi/kube';

/**
 * The names that sidecars of a cluster are told to be of: what the paths of its injection webhooks say. A control plane
 * must know the cluster by the same name.
 */
export function injectedNames(configurations: readonly MutatingWebhookConfiguration[]): readonly string[] {
  const paths = configurations.flatMap(({ webhooks = [] }) =>
    webhooks.flatMap(({ clientConfig: { service, url } }) =>
      url === undefined ? (service?.path ?? []) : (URL.parse(url)?.pathname ?? []),
    ),
  );
  const names = paths.flatMap((path) => {
    const parsed = parseInjectPath(path);
    return parsed.ok && parsed.value.clusterId !== undefined ? [parsed.value.clusterId] : [];
  });
  return [...new Set(names)].toSorted();
}

/** {@link injectedNames} of a cluster; none for a user who may not read them. */
export async function readInjectedNames(client: KubeClient): Promise<readonly string[]> {
  try {
    return injectedNames((await client.list(MUTATING_WEBHOOK_CONFIGURATIONS)).items);
  } catch {
    // Only a convenience hangs on it; what the command is for does not need this right.
    return [];
  }
}
