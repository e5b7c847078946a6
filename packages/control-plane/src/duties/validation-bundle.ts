import { type Clock, type Log, messageOf, type Random } from '@meltemi/base';
import {
  createInformer,
  createWorkQueue,
  isConflict,
  isNotFound,
  type KubeClient,
  VALIDATING_WEBHOOK_CONFIGURATIONS,
  type ValidatingWebhookConfiguration,
} from '@meltemi/kube';
import { untilAborted } from '../until-aborted.ts';
import type { RootSource } from './root-source.ts';

/** What {@link keepValidationBundle} works with. */
export interface ValidationBundleOptions {
  readonly client: Pick<KubeClient, 'list' | 'watch' | 'server' | 'patch'>;
  /** Only configurations of this revision are touched. */
  readonly revision: string;
  readonly roots: RootSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Keeps the certificate that the API server verifies the revision's validating webhooks by up to date, until the signal
 * aborts.
 *
 * With it a webhook becomes binding (`failurePolicy: Fail`): from then on it can answer.
 */
export async function keepValidationBundle(options: ValidationBundleOptions, signal: AbortSignal): Promise<void> {
  const { client, revision, roots, clock, random, log } = options;
  const informer = createInformer<ValidatingWebhookConfiguration>({
    client,
    ref: VALIDATING_WEBHOOK_CONFIGURATIONS,
    labelSelector: `istio.io/rev=${revision}`,
    log,
    clock,
    random,
  });
  await using queue = createWorkQueue({
    clock,
    random,
    onError: (name, error, retryMs) =>
      log.warn('Cannot complete the validating webhook; will try again', {
        name,
        error: messageOf(error),
        retryMs: Math.round(retryMs),
      }),
    async work(name) {
      const present = informer.store.get({ name });
      const body = present === undefined ? undefined : buildBundlePatch(present, roots.rootPem());
      if (signal.aborted || body === undefined) return;
      try {
        await client.patch(VALIDATING_WEBHOOK_CONFIGURATIONS, { name }, { type: 'merge', body }, { signal });
        log.info('Validating webhook given the current root certificates; it is binding now', { name });
      } catch (error) {
        // Somebody else wrote, or removed, it: the watch tells, and the work is done anew.
        if (!signal.aborted && !isConflict(error) && !isNotFound(error)) throw error;
      }
    },
  });
  const add = ({ metadata }: ValidatingWebhookConfiguration): void => {
    queue.add(metadata.name);
  };
  informer.subscribe({ onAdd: add, onUpdate: add });
  const stopFollowing = roots.onChange(() => informer.store.list().forEach(add));
  try {
    await informer.start(signal);
    await untilAborted(signal);
  } finally {
    stopFollowing();
  }
}

/**
 * The patch that completes a configuration.
 *
 * @returns `undefined` when it is complete.
 */
export function buildBundlePatch(configuration: ValidatingWebhookConfiguration, rootPem: string): object | undefined {
  const caBundle = Buffer.from(rootPem).toString('base64');
  const { metadata, webhooks = [] } = configuration;
  const isComplete = webhooks.every(
    ({ name, clientConfig, failurePolicy }) =>
      !isOurs(name) || (clientConfig.caBundle === caBundle && failurePolicy === 'Fail'),
  );
  if (isComplete) return undefined;
  const completed = webhooks.map((webhook) =>
    isOurs(webhook.name)
      ? { ...webhook, clientConfig: { ...webhook.clientConfig, caBundle }, failurePolicy: 'Fail' }
      : webhook,
  );
  // A merge patch replaces the list as a whole, so it must be refused if somebody else changed it meanwhile.
  return { metadata: { resourceVersion: metadata.resourceVersion }, webhooks: completed };
}

/** Whether a webhook is answered by a control plane; a configuration may hold others. */
function isOurs(name: string): boolean {
  return name.endsWith('validation.istio.io');
}
