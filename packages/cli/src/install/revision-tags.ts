import { nearestName } from '@meltemi/base';
import {
  defaultNamespaceSelectors,
  type JsonMap,
  type ManifestObject,
  READER_SERVICE_ACCOUNT,
  tagManifests,
} from '@meltemi/control-plane';
import {
  type KubeClient,
  type KubeObject,
  MUTATING_WEBHOOK_CONFIGURATIONS,
  type MutatingWebhookConfiguration,
  NAMESPACES,
  SERVICE_ACCOUNTS,
  VALIDATING_WEBHOOK_CONFIGURATIONS,
  type Webhook,
} from '@meltemi/kube';
import { CommandError, EXIT } from '../exit-code.ts';
import { COMPONENT_LABEL, REVISION_LABEL as INSTALLED_REVISION_LABEL, NAMESPACE_LABEL } from './install-plan.ts';
import { DEACTIVATED_SELECTOR, DEFAULT_VALIDATOR } from './live-state.ts';

const REVISION_LABEL = 'istio.io/rev';
const TAG_LABEL = 'istio.io/tag';
const WEBHOOK_SUFFIX = 'sidecar-injector.istio.io';

/** A name that leads to a revision, as the cluster has it. */
export interface RevisionTag {
  readonly tag: string;
  readonly revision: string;
  readonly webhookName: string;
  /** Namespaces whose pods get their sidecars by this tag. */
  readonly namespaces: readonly string[];
}

/** The injection webhooks of a cluster: those of revisions, and those of tags. */
export interface InjectionWebhooks {
  /** By revision. */
  readonly revisions: ReadonlyMap<string, MutatingWebhookConfiguration>;
  readonly tags: readonly MutatingWebhookConfiguration[];
}

/** Reads the injection webhooks of a cluster. */
export async function readInjectionWebhooks(client: KubeClient): Promise<InjectionWebhooks> {
  const { items } = await client.list(MUTATING_WEBHOOK_CONFIGURATIONS, { labelSelector: REVISION_LABEL });
  const own = items.filter(({ webhooks = [] }) => webhooks.some(({ name }) => name.endsWith(WEBHOOK_SUFFIX)));
  const isTag = ({ metadata }: MutatingWebhookConfiguration): boolean => metadata.labels?.[TAG_LABEL] !== undefined;
  return {
    revisions: new Map(
      own.filter((item) => !isTag(item)).map((item) => [item.metadata.labels?.[REVISION_LABEL] ?? '', item]),
    ),
    tags: own.filter(isTag),
  };
}

/** The tags of a cluster, and who uses them. */
export async function listTags(client: KubeClient): Promise<readonly RevisionTag[]> {
  const { tags } = await readInjectionWebhooks(client);
  const { items } = await client.list(NAMESPACES);
  return tags.map(({ metadata }) => {
    const tag = metadata.labels?.[TAG_LABEL] ?? '';
    const uses = items.filter(({ metadata: { labels = {} } }) =>
      labels['istio-injection'] === undefined
        ? labels[REVISION_LABEL] === tag
        : tag === 'default' && labels['istio-injection'] === 'enabled',
    );
    return {
      tag,
      revision: metadata.labels?.[REVISION_LABEL] ?? '',
      webhookName: metadata.name,
      namespaces: uses.map(({ metadata: { name } }) => name),
    };
  });
}

/** What is to become of a tag. */
export interface BuildTagOptions {
  readonly client: KubeClient;
  readonly tag: string;
  readonly revision: string;
  readonly overwrite: boolean;
  readonly webhookName: string | undefined;
  readonly autoInjectNamespaces: boolean;
}

/**
 * Builds the objects of a tag from the webhook of its revision.
 *
 * @throws CommandError failed: no such revision, a tag that exists, a name that is a revision's.
 */
export async function buildTag(options: BuildTagOptions): Promise<readonly ManifestObject[]> {
  const { client, tag, revision, overwrite } = options;
  const { revisions, tags } = await readInjectionWebhooks(client);
  const target = revisions.get(revision);
  if (target === undefined) throw noRevision(revision, [...revisions.keys()]);
  if (tag === revision || (tag !== 'default' && revisions.has(tag)))
    throw new CommandError(
      EXIT.failed,
      `Cannot make tag ${tag}: a revision has that name${tag === 'default' ? ', and pods that name none get it already' : '; pods would be injected twice'}`,
    );
  const present = tags.find(({ metadata }) => metadata.labels?.[TAG_LABEL] === tag);
  const leadsTo = present?.metadata.labels?.[REVISION_LABEL];
  if (present !== undefined && leadsTo !== revision && !overwrite)
    throw new CommandError(EXIT.failed, `Tag ${tag} leads to revision ${leadsTo}; move it with --overwrite`);
  const { clientConfig, reinvocationPolicy = 'Never' } = firstWebhook(target);
  const namespace = clientConfig.service?.namespace ?? 'istio-system';
  const account = clientConfig.service?.name ?? 'istiod';
  const isLocal = (await client.find(SERVICE_ACCOUNTS, { namespace, name: account })) !== undefined;
  const objects = tagManifests({
    tag,
    revision,
    webhookName: options.webhookName ?? present?.metadata.name,
    namespace,
    account: isLocal ? account : READER_SERVICE_ACCOUNT,
    // JSON of the API server.
    clientConfig: clientConfig as unknown as JsonMap,
    reinvocationPolicy,
    autoInjectNamespaces: options.autoInjectNamespaces,
  });
  // Removed with the revision: a tag that leads nowhere refuses every pod.
  const labels = { [COMPONENT_LABEL]: `tag-${tag}`, [INSTALLED_REVISION_LABEL]: revision };
  return objects.map((object) => ({
    ...object,
    metadata: { ...object.metadata, labels: { ...object.metadata.labels, ...labels } },
  }));
}

/** They are all answered at one place. {@link readInjectionWebhooks} leaves out configurations without any. */
function firstWebhook({ metadata, webhooks = [] }: MutatingWebhookConfiguration): Webhook {
  const [first] = webhooks;
  if (first === undefined) throw new CommandError(EXIT.failed, `BUG: ${metadata.name} has no webhooks`);
  return first;
}

function noRevision(revision: string, known: readonly string[]): CommandError {
  const near = nearestName(revision, known);
  const list = known.length === 0 ? 'there is none' : `there are ${known.join(', ')}`;
  return new CommandError(
    EXIT.failed,
    `No control plane of revision "${revision}" is installed${near === undefined ? `; ${list}` : `; did you mean ${near}?`}`,
  );
}

/** Leaves pods that name no revision to the tag `default`, or gives them back to the default revision. */
export async function setDefaultWebhooksActive(client: KubeClient, isActive: boolean): Promise<void> {
  const { revisions } = await readInjectionWebhooks(client);
  const configuration = revisions.get('default');
  if (configuration === undefined) return;
  const { webhooks = [], metadata } = configuration;
  const selectors = defaultNamespaceSelectors();
  const body = webhooks.flatMap(({ name }, index) => {
    const selector = isActive ? selectors.get(name) : DEACTIVATED_SELECTOR;
    if (selector === undefined) return [];
    return [
      // Positions in the list may have moved since it was read.
      { op: 'test', path: `/webhooks/${index}/name`, value: name },
      { op: 'add', path: `/webhooks/${index}/namespaceSelector`, value: selector },
    ];
  });
  await client.patch(MUTATING_WEBHOOK_CONFIGURATIONS, { name: metadata.name }, { type: 'json', body });
}

/** Gives configuration that names no revision back to the default revision, or to nobody where there is none. */
export async function resetDefaultValidator(client: KubeClient): Promise<void> {
  const { revisions } = await readInjectionWebhooks(client);
  const configuration = revisions.get('default');
  const validator = await client.find(VALIDATING_WEBHOOK_CONFIGURATIONS, { name: DEFAULT_VALIDATOR });
  if (validator === undefined) return;
  if (configuration === undefined) {
    await client.delete(VALIDATING_WEBHOOK_CONFIGURATIONS, { name: DEFAULT_VALIDATOR });
    return;
  }
  const { clientConfig } = firstWebhook(configuration);
  const service = clientConfig.service === undefined ? undefined : { ...clientConfig.service, path: '/validate' };
  await client.patch(
    VALIDATING_WEBHOOK_CONFIGURATIONS,
    { name: DEFAULT_VALIDATOR },
    {
      type: 'json',
      body: [
        { op: 'add', path: '/metadata/labels', value: restoredLabels(validator, configuration) },
        {
          op: 'add',
          path: '/webhooks/0/clientConfig',
          value: { ...clientConfig, ...(service === undefined ? {} : { service }) },
        },
      ],
    },
  );
}

/** Labels of the validator as the chart `base` has them: those of a tag would let it be removed with the tag's revision. */
function restoredLabels(
  validator: KubeObject,
  { metadata: { labels = {} } }: KubeObject,
): Readonly<Record<string, string>> {
  const {
    [COMPONENT_LABEL]: _component,
    [INSTALLED_REVISION_LABEL]: _revision,
    [NAMESPACE_LABEL]: _namespace,
    ...own
  } = validator.metadata.labels ?? {};
  const namespace = labels[NAMESPACE_LABEL];
  return {
    ...own,
    [REVISION_LABEL]: 'default',
    // What Helm has installed has no labels of an installation, and is not ours to remove.
    ...(labels[COMPONENT_LABEL] === undefined ? {} : { [COMPONENT_LABEL]: 'base' }),
    ...(namespace === undefined ? {} : { [NAMESPACE_LABEL]: namespace }),
  };
}
