import { type Clock, type Log, messageOf, type Random } from '@meltemi/base';
import {
  createInformer,
  createWorkQueue,
  type KubeClient,
  MUTATING_WEBHOOK_CONFIGURATIONS,
  type MutatingWebhookConfiguration,
} from '@meltemi/kube';

/** End of the names of all injection webhooks; what comes before says which pods each is for. */
export const WEBHOOK_NAME_SUFFIX = 'sidecar-injector.istio.io';

/** A hiccup of the API server is over soon; then patience, for ever: without the roots no pod of the cluster is injected. */
const FAST_RETRIES = 5;
const FAST_RETRY_MS = 100;
const SLOW_RETRY_MS = 60_000;

/** What {@link createCaBundlePatcher} works with. */
export interface CaBundlePatcherOptions {
  readonly client: KubeClient;
  /** Only configurations of this revision are touched. */
  readonly revision: string;
  /** The roots that the webhook's server chains to, PEM. */
  readonly bundle: () => string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Keeps the roots in one cluster's injection webhooks up to date. */
export interface CaBundlePatcher extends AsyncDisposable {
  /**
   * Begins to follow the cluster; resolves when what was there has been looked at. What fails is tried again for ever: five
   * times after 100 ms, then once a minute, and at once when the configuration or the bundle changes.
   */
  start(signal: AbortSignal): Promise<void>;
  /** The bundle changed. */
  refresh(): void;
}

/** Creates the patcher of one cluster. */
export function createCaBundlePatcher(options: CaBundlePatcherOptions): CaBundlePatcher {
  const { client, revision, bundle, clock, random, log } = options;
  const informer = createInformer({
    client,
    ref: MUTATING_WEBHOOK_CONFIGURATIONS,
    labelSelector: `istio.io/rev=${revision}`,
    log,
    clock,
    random,
  });
  const queue = createWorkQueue({
    work: async (name) => {
      const configuration = informer.store.get({ name });
      const body = configuration === undefined ? [] : buildOperations(configuration, bundle());
      if (body.length === 0) return;
      await client.patch(MUTATING_WEBHOOK_CONFIGURATIONS, { name }, { type: 'json', body });
      log.info('Webhook given the current root certificates', { name, server: client.server });
    },
    onError: (name, error, retryMs) =>
      log.warn('Cannot patch a webhook, trying again', { name, error: messageOf(error), retryMs }),
    clock,
    random,
    pauseMs: (failureCount) => (failureCount <= FAST_RETRIES ? FAST_RETRY_MS : SLOW_RETRY_MS),
  });
  const add = ({ metadata }: MutatingWebhookConfiguration): void => queue.add(metadata.name);
  informer.subscribe({ onAdd: add, onUpdate: add });
  return {
    async start(signal) {
      await informer.start(signal);
      await queue.idle();
    },
    refresh: () => informer.store.list().forEach(add),
    [Symbol.asyncDispose]: () => queue[Symbol.asyncDispose](),
  };
}

/** Tests the names before writing: positions in the list may have moved since it was read. */
function buildOperations({ webhooks = [] }: MutatingWebhookConfiguration, bundlePem: string): readonly unknown[] {
  const caBundle = Buffer.from(bundlePem).toString('base64');
  return webhooks.flatMap(({ name, clientConfig }, index) =>
    name.endsWith(WEBHOOK_NAME_SUFFIX) && clientConfig.caBundle !== caBundle
      ? [
          { op: 'test', path: `/webhooks/${index}/name`, value: name },
          { op: 'add', path: `/webhooks/${index}/clientConfig/caBundle`, value: caBundle },
        ]
      : [],
  );
}
