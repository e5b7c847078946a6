import { MeltemiError } from '@meltemi/base';
import { DEPLOYMENTS, type Deployment, EVENTS, type KubeClient } from '@meltemi/kube';

/** What {@link waitForDeployment} waits for. */
export interface WaitForDeploymentOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

function isAvailable(deployment: Deployment): boolean {
  const { status, spec, metadata } = deployment;
  const wanted = spec.replicas ?? 1;
  return (
    (status?.observedGeneration ?? 0) >= (metadata.generation ?? 0) &&
    (status?.updatedReplicas ?? 0) >= wanted &&
    (status?.availableReplicas ?? 0) >= wanted
  );
}

/** The newest warnings of a namespace: most often they say why a pod does not come up. */
async function recentWarnings(client: KubeClient, namespace: string): Promise<string> {
  const events = (await client.list(EVENTS, { namespace })).items.filter((event) => event.type === 'Warning');
  return events
    .slice(-3)
    .map((event) => `${event.involvedObject.kind} ${event.involvedObject.name}: ${event.message}`)
    .join('; ');
}

/** Waits until all pods of a deployment's newest version are available. @throws MeltemiError with the reason that events give. */
export async function waitForDeployment(options: WaitForDeploymentOptions): Promise<void> {
  const { client, namespace, name, timeoutMs } = options;
  const deadline = AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([deadline, options.signal]);
  try {
    for await (const event of client.watch(DEPLOYMENTS, {
      namespace,
      fieldSelector: `metadata.name=${name}`,
      signal,
    })) {
      if (event.type !== 'ERROR' && event.type !== 'BOOKMARK' && isAvailable(event.object)) return;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  options.signal.throwIfAborted();
  const warnings = await recentWarnings(client, namespace);
  throw new MeltemiError(
    'FAILED',
    `Deployment ${name} in namespace ${namespace} of ${client.server} is not available after ${timeoutMs / 1000} s${warnings === '' ? '' : `: ${warnings}`}`,
  );
}
