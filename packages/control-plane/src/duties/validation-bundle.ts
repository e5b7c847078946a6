import { type Clock, type Log, messageOf, type Random, sha256Hex } from '@meltemi/base';
import {
  createInformer,
  createWorkQueue,
  isConflict,
  isNotFound,
  type KubeClient,
  VALIDATING_WEBHOOK_CONFIGURATIONS,
  type ValidatingWebhookConfiguration,
  type Webhook,
} from '@meltemi/kube';
import { untilAborted } from '../until-aborted.ts';
import type { RootSource } from './root-source.ts';
import { findSelfTestProblem } from './validation-self-test.ts';

/** Webhooks whose name ends so are the control plane's; `rev.` or `namespace.` may stand before it. */
const WEBHOOK_NAME_SUFFIX = 'validation.istio.io';
/**
 * Annotation of a configuration: digest of the certificate that the control plane has written to webhooks that go by
 * URL. Without it nobody could tell that from one that a user has set, which stays.
 */
const WRITTEN_ANNOTATION = 'control-plane.meltemi.dev/ca-bundle-sha256';
const RETRY = { baseMs: 100, maxMs: 60_000 };

/** What {@link keepValidationBundle} works with. */
export interface ValidationBundleOptions {
  readonly client: Pick<KubeClient, 'list' | 'watch' | 'server' | 'patch' | 'create'>;
  /** Only configurations of this revision are touched. */
  readonly revision: string;
  /** Where the self-test pretends to create something. */
  readonly systemNamespace: string;
  readonly roots: RootSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Keeps the certificate that the API server verifies the validating webhook by up to date, until the signal aborts.
 *
 * A configuration becomes binding (`failurePolicy: Fail`) once the API server has been seen to refuse by it, and stays so:
 * only a control plane that begins anew and finds that its webhook is not reached lets configuration pass meanwhile.
 */
export async function keepValidationBundle(options: ValidationBundleOptions, signal: AbortSignal): Promise<void> {
  const { client, revision, roots, clock, random, log } = options;
  const proven = new Set<string>();
  const informer = createInformer<ValidatingWebhookConfiguration>({
    client,
    ref: VALIDATING_WEBHOOK_CONFIGURATIONS,
    labelSelector: `istio.io/rev=${revision}`,
    log,
    clock,
    random,
  });

  /** @returns Whether the configuration is as wished now; if not, the watch tells of somebody else's write. */
  const write = async (name: string, failurePolicy: FailurePolicy | undefined): Promise<boolean> => {
    const present = informer.store.get({ name });
    const body = present && buildBundlePatch(present, { rootPem: roots.rootPem(), failurePolicy });
    if (body === undefined) return true;
    try {
      await client.patch(VALIDATING_WEBHOOK_CONFIGURATIONS, { name }, { type: 'merge', body }, { signal });
      return true;
    } catch (error) {
      if (isConflict(error) || isNotFound(error)) return false;
      throw error;
    }
  };

  const findProblem = async (configuration: ValidatingWebhookConfiguration): Promise<string | undefined> => {
    for (const webhook of ownWebhooks(configuration)) {
      const problem = await findSelfTestProblem({ ...options, webhook }, signal);
      if (problem !== undefined) return problem;
    }
    return undefined;
  };

  const reconcile = async (name: string): Promise<void> => {
    const configuration = informer.store.get({ name });
    if (signal.aborted || configuration === undefined || ownWebhooks(configuration).length === 0) return;
    if (proven.has(name)) return void (await write(name, 'Fail'));
    // First the certificate, without which the API server cannot call; a policy that is there stays for the moment.
    if (!(await write(name, undefined))) return;
    const problem = await findProblem(configuration);
    if (signal.aborted) return;
    if (problem === undefined) {
      proven.add(name);
      log.info('The API server refuses by the validating webhook; it is binding now', { name });
      return void (await write(name, 'Fail'));
    }
    await write(name, 'Ignore');
    throw new Error(problem);
  };

  await using queue = createWorkQueue({
    work: async (name) => {
      try {
        await reconcile(name);
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    },
    onError: (name, error, retryMs) =>
      log.warn('The validating webhook is not binding yet; will try again', {
        name,
        reason: messageOf(error),
        retryMs: Math.round(retryMs),
      }),
    clock,
    random,
    backoff: RETRY,
  });
  const add = ({ metadata }: ValidatingWebhookConfiguration): void => queue.add(metadata.name);
  informer.subscribe({ onAdd: add, onUpdate: add, onDelete: ({ metadata }) => void proven.delete(metadata.name) });
  const stopFollowing = roots.onChange(() => informer.store.list().forEach(add));
  try {
    await informer.start(signal);
    await untilAborted(signal);
  } finally {
    stopFollowing();
  }
}

type FailurePolicy = 'Fail' | 'Ignore';

/** The webhooks that the control plane looks after: its own, but for those whose certificate a user has set. */
function ownWebhooks({ metadata, webhooks = [] }: ValidatingWebhookConfiguration): readonly Webhook[] {
  const written = metadata.annotations?.[WRITTEN_ANNOTATION];
  return webhooks.filter(({ name, clientConfig: { url, caBundle = '' } }) => {
    const isSetByUser = url !== undefined && caBundle !== '' && sha256Hex(caBundle) !== written;
    return name.endsWith(WEBHOOK_NAME_SUFFIX) && !isSetByUser;
  });
}

/**
 * The patch that completes a configuration.
 *
 * @param wanted.failurePolicy Absent: it stays as it is.
 * @returns `undefined` when nothing is to be done.
 */
export function buildBundlePatch(
  configuration: ValidatingWebhookConfiguration,
  wanted: { readonly rootPem: string; readonly failurePolicy: FailurePolicy | undefined },
): object | undefined {
  const { metadata, webhooks = [] } = configuration;
  const caBundle = Buffer.from(wanted.rootPem).toString('base64');
  const policyOf = (present: string | undefined): string | undefined => wanted.failurePolicy ?? present;
  const own = ownWebhooks(configuration);
  const isComplete = own.every(
    ({ clientConfig, failurePolicy }) =>
      clientConfig.caBundle === caBundle && failurePolicy === policyOf(failurePolicy),
  );
  if (isComplete) return undefined;
  const completed = webhooks.map((webhook) =>
    own.includes(webhook)
      ? {
          ...webhook,
          clientConfig: { ...webhook.clientConfig, caBundle },
          failurePolicy: policyOf(webhook.failurePolicy),
        }
      : webhook,
  );
  const goesByUrl = own.some(({ clientConfig }) => clientConfig.url !== undefined);
  const annotations = goesByUrl ? { annotations: { [WRITTEN_ANNOTATION]: sha256Hex(caBundle) } } : {};
  // A merge patch replaces the list as a whole, so it must be refused if somebody else changed it meanwhile.
  return { metadata: { resourceVersion: metadata.resourceVersion, ...annotations }, webhooks: completed };
}
