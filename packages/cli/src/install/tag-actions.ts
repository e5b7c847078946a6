import { type ManifestObject, toYamlText } from '@meltemi/control-plane';
import { isNotFound, type KubeClient, MUTATING_WEBHOOK_CONFIGURATIONS } from '@meltemi/kube';
import { applyObjects } from '../apply-objects.ts';
import { CommandError, EXIT } from '../exit-code.ts';
import { printRows } from '../print-rows.ts';
import { type ClusterFlags, type CommandContext, withSession } from '../session.ts';
import { FIELD_MANAGER, toKubeObject } from './apply-plan.ts';
import { confirm } from './confirm.ts';
import {
  buildTag,
  listTags,
  type RevisionTag,
  resetDefaultValidator,
  setDefaultWebhooksActive,
} from './revision-tags.ts';
import { CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES } from './role-refs.ts';

/** Flags of `meltemi tag set` and `generate`. */
export interface TagFlags extends ClusterFlags {
  readonly revision: string;
  readonly overwrite?: boolean;
  readonly autoInjectNamespaces?: boolean;
  readonly webhookName?: string;
  readonly yes?: boolean;
}

/** Flags of `meltemi tag list`. */
export interface ShowTagsFlags extends ClusterFlags {
  readonly output: string;
}

/** Flags of `meltemi tag remove`. */
export interface RemoveTagFlags extends ClusterFlags {
  readonly yes?: boolean;
}

/** What `meltemi tag generate` does. */
export async function generateTag(context: CommandContext, tag: string, flags: TagFlags): Promise<void> {
  await withSession(context, flags, async ({ cluster }) =>
    context.terminal.out(toYamlText(await readTag(cluster.client, tag, flags))),
  );
}

/** What `meltemi tag list` does. */
export async function showTags(context: CommandContext, flags: ShowTagsFlags): Promise<void> {
  await withSession(context, flags, async ({ cluster }) =>
    printRows(context.terminal, flags.output, await listTags(cluster.client), {
      columns: [
        { heading: 'TAG', of: ({ tag }) => tag },
        { heading: 'REVISION', of: ({ revision }) => revision },
        { heading: 'NAMESPACES', of: ({ namespaces }) => namespaces.join(',') },
      ],
      name: ({ tag }) => `tag/${tag}`,
      none: `There are no tags in ${cluster.name}`,
    }),
  );
}

function readTag(client: KubeClient, tag: string, flags: TagFlags): Promise<readonly ManifestObject[]> {
  if (!/^[a-z0-9](?:[-a-z0-9]{0,40}[a-z0-9])?$/.test(tag))
    throw new CommandError(EXIT.usage, `"${tag}" is no name for a tag: it needs a-z, 0-9 and -, at most 42 of them`);
  return buildTag({
    client,
    tag,
    revision: flags.revision,
    overwrite: flags.overwrite === true,
    webhookName: flags.webhookName,
    autoInjectNamespaces: flags.autoInjectNamespaces === true,
  });
}

/** What `meltemi tag set` does. */
export async function setTag(context: CommandContext, tag: string, flags: TagFlags): Promise<void> {
  await withSession(context, flags, async ({ cluster }) => {
    const { client } = cluster;
    const objects = await readTag(client, tag, flags);
    const previous = (await listTags(client)).find((present) => present.tag === tag);
    if (previous !== undefined && previous.revision !== flags.revision)
      await confirm(
        context,
        `New pods of ${describeUse(previous)} get revision ${flags.revision} instead of ${previous.revision}. Go on?`,
        flags.yes === true,
      );
    await applyObjects({
      client,
      objects: objects.map(toKubeObject),
      namespace: 'istio-system',
      fieldManager: FIELD_MANAGER,
    });
    // Only now: in between pods are injected by either, never by none.
    if (tag === 'default') await setDefaultWebhooksActive(client, false);
    context.terminal.out(`Tag ${tag} leads to revision ${flags.revision}\n`);
    context.terminal.err(
      tag === 'default'
        ? 'New pods of namespaces with istio-injection=enabled get it; restart those that run\n'
        : `Use it with "kubectl label namespace NAME istio.io/rev=${tag} istio-injection-", and restart the pods\n`,
    );
  });
}

function describeUse({ namespaces }: RevisionTag): string {
  return namespaces.length === 0 ? 'no namespace yet' : `namespaces ${namespaces.join(', ')}`;
}

/** What `meltemi tag remove` does. */
export async function removeTag(context: CommandContext, tag: string, flags: RemoveTagFlags): Promise<void> {
  await withSession(context, flags, async ({ cluster }) => {
    const { client } = cluster;
    const tags = await listTags(client);
    const present = tags.find((known) => known.tag === tag);
    if (present === undefined)
      throw new CommandError(
        EXIT.failed,
        `There is no tag ${tag} in ${cluster.name}${tags.length === 0 ? '' : `; there are ${tags.map((known) => known.tag).join(', ')}`}`,
      );
    if (present.namespaces.length > 0)
      await confirm(
        context,
        `Tag ${tag} is used by ${describeUse(present)}; their new pods ${tag === 'default' ? 'get the default revision again, if there is one' : 'get no sidecar then'}. Go on?`,
        flags.yes === true,
      );
    if (tag === 'default') {
      await setDefaultWebhooksActive(client, true);
      await resetDefaultValidator(client);
    }
    for (const ref of [MUTATING_WEBHOOK_CONFIGURATIONS, CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES]) {
      try {
        await client.delete(ref, { name: present.webhookName });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    context.terminal.out(`Tag ${tag} is removed\n`);
  });
}
