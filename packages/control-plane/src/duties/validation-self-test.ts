import { messageOf } from '@meltemi/base';
import { ALWAYS_REJECT_ANNOTATION } from '@meltemi/galley';
import { type KubeClient, KubeError, type KubeObject, resourceRef } from '@meltemi/kube';

const TEST_OBJECT_NAME = 'validation-self-test';
const TEST_TIMEOUT_MS = 10_000;
/** How API servers word a refusal by a webhook, as against a webhook that they could not call. */
const DENIED_BY_WEBHOOK = 'denied the request';

const VIRTUAL_SERVICES = resourceRef<KubeObject & { readonly spec: unknown }>({
  group: 'networking.istio.io',
  version: 'v1',
  plural: 'virtualservices',
  kind: 'VirtualService',
});

/**
 * Asks the API server to create, as a dry run, an object that the webhook refuses whatever it holds.
 *
 * @returns Why it cannot be said that the webhook works; `undefined` when the object was refused by it.
 */
export async function findSelfTestProblem(
  options: {
    readonly client: Pick<KubeClient, 'create'>;
    readonly systemNamespace: string;
    readonly revision: string;
  },
  signal: AbortSignal,
): Promise<string | undefined> {
  const { client, systemNamespace, revision } = options;
  const object = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: {
      name: TEST_OBJECT_NAME,
      namespace: systemNamespace,
      // Several revisions validate; the one that is asked is this one.
      labels: { 'istio.io/rev': revision },
      annotations: { [ALWAYS_REJECT_ANNOTATION]: 'true' },
    },
    spec: { hosts: [`${TEST_OBJECT_NAME}.invalid`] },
  };
  try {
    await client.create(VIRTUAL_SERVICES, object, { dryRun: true, signal, timeoutMs: TEST_TIMEOUT_MS });
    return 'an object that it refuses was let pass; the API server does not call it';
  } catch (error) {
    if (error instanceof KubeError && error.message.includes(DENIED_BY_WEBHOOK)) return undefined;
    return messageOf(error);
  }
}
