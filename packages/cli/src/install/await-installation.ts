import { MeltemiError } from '@meltemi/base';
import { type KubeClient, MUTATING_WEBHOOK_CONFIGURATIONS } from '@meltemi/kube';
import { waitForDeployment } from '../wait-for-deployment.ts';
import { type InstallPlan, plannedObjects } from './install-plan.ts';

/** What is waited for, and how long. */
export interface AwaitOptions {
  readonly client: KubeClient;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Waits until the deployments of a plan are available and its sidecar webhook can be verified; says each. */
export async function awaitInstallation(
  plan: InstallPlan,
  options: AwaitOptions & { readonly onProgress: (message: string) => void },
): Promise<void> {
  const objects = plannedObjects(plan);
  for (const { metadata } of objects.filter(({ kind }) => kind === 'Deployment')) {
    const namespace = metadata.namespace ?? plan.spec.namespace;
    options.onProgress(`waiting for Deployment ${namespace}/${metadata.name}`);
    await waitForDeployment({ ...options, namespace, name: metadata.name });
    options.onProgress(`Deployment ${namespace}/${metadata.name} is available`);
  }
  // In a remote cluster it is written by a control plane that may be attached later.
  if (!plan.spec.hasPilot) return;
  for (const { metadata } of objects.filter(({ kind }) => kind === 'MutatingWebhookConfiguration')) {
    options.onProgress(`waiting for the certificate of webhook ${metadata.name}`);
    await waitForWebhook(metadata.name, plan.spec.namespace, options);
    options.onProgress(`webhook ${metadata.name} is served`);
  }
}

/** Waits until the control plane has put its root behind a webhook: pods created before would be refused. */
export async function waitForWebhook(name: string, namespace: string, options: AwaitOptions): Promise<void> {
  const { client, timeoutMs } = options;
  const signal = AbortSignal.any([AbortSignal.timeout(timeoutMs), options.signal]);
  try {
    for await (const event of client.watch(MUTATING_WEBHOOK_CONFIGURATIONS, {
      fieldSelector: `metadata.name=${name}`,
      signal,
    })) {
      if (event.type === 'ERROR' || event.type === 'BOOKMARK') continue;
      const { webhooks = [] } = event.object;
      if (webhooks.length > 0 && webhooks.every((webhook) => (webhook.clientConfig.caBundle ?? '') !== '')) return;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  options.signal.throwIfAborted();
  throw new MeltemiError(
    'FAILED',
    `The injection webhook ${name} of ${client.server} is not served after ${timeoutMs / 1000} s; see "meltemi logs -n ${namespace} deploy/istiod"`,
  );
}
