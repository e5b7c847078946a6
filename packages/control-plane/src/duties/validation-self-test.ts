import { messageOf } from '@meltemi/base';
import { ALWAYS_REJECT_ANNOTATION, ALWAYS_REJECT_REASON } from '@meltemi/galley';
import { type KubeClient, KubeError, type KubeObject, resourceRef, type Webhook } from '@meltemi/kube';

const TEST_OBJECT_NAME = 'validation-self-test';
const TEST_TIMEOUT_MS = 10_000;
const REVISION_LABEL = 'istio.io/rev';

const VIRTUAL_SERVICES = resourceRef<KubeObject & { readonly spec: unknown }>({
  group: 'networking.istio.io',
  version: 'v1',
  plural: 'virtualservices',
  kind: 'VirtualService',
});

/**
 * Asks the API server to create, as a dry run, an object that the control plane's webhook refuses whatever it holds.
 *
 * A refusal counts only when this webhook gave it, and in the control plane's own words: policy engines refuse too.
 *
 * @returns Why it cannot be said that the webhook works; `undefined` when the object was refused by it.
 */
export async function findSelfTestProblem(
  options: {
    readonly client: Pick<KubeClient, 'create'>;
    readonly systemNamespace: string;
    readonly revision: string;
    /** The one that shall refuse. */
    readonly webhook: Pick<Webhook, 'name' | 'objectSelector'>;
  },
  signal: AbortSignal,
): Promise<string | undefined> {
  const { client, systemNamespace, revision, webhook } = options;
  // Several revisions validate, and one of them what names none: each is asked by an object that only it gets.
  const labels = isForUnlabelled(webhook) ? {} : { labels: { [REVISION_LABEL]: revision } };
  const object = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: {
      name: TEST_OBJECT_NAME,
      namespace: systemNamespace,
      ...labels,
      annotations: { [ALWAYS_REJECT_ANNOTATION]: 'true' },
    },
    spec: { hosts: [`${TEST_OBJECT_NAME}.invalid`] },
  };
  try {
    await client.create(VIRTUAL_SERVICES, object, { dryRun: true, signal, timeoutMs: TEST_TIMEOUT_MS });
    return 'an object that it refuses was let pass; the API server does not call it';
  } catch (error) {
    if (error instanceof KubeError && error.message.includes(refusalBy(webhook.name))) return undefined;
    return messageOf(error);
  }
}

function isForUnlabelled({ objectSelector }: Pick<Webhook, 'objectSelector'>): boolean {
  const requirements = objectSelector?.matchExpressions ?? [];
  return requirements.some(({ key, operator }) => key === REVISION_LABEL && operator === 'DoesNotExist');
}

/** How API servers word a refusal, as against a webhook that they could not call. */
function refusalBy(webhookName: string): string {
  return `admission webhook "${webhookName}" denied the request: ${ALWAYS_REJECT_REASON}`;
}
