import { type ManifestObject, toYamlText } from '@meltemi/control-plane';
import { isNotFound, type KubeClient, MUTATING_WEBHOOK_CONFIGURATIONS } from '@meltemi/kube';
import type { Command } from 'commander';
import { applyObjects } from '../apply-objects.ts';
import { CommandError, EXIT } from '../exit-code.ts';
import { FIELD_MANAGER, toKubeObject } from '../install/apply-plan.ts';
import { confirm } from '../install/confirm.ts';
import {
  buildTag,
  listTags,
  type RevisionTag,
  resetDefaultValidator,
  setDefaultWebhooksActive,
} from '../install/revision-tags.ts';
import { CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES } from '../install/role-refs.ts';
import { OUTPUT_FLAG } from '../output.ts';
import { printRows } from '../print-rows.ts';
import { type ClusterFlags, type CommandContext, withSession } from '../session.ts';

interface TagFlags extends ClusterFlags {
  readonly revision: string;
  readonly overwrite?: boolean;
  readonly autoInjectNamespaces?: boolean;
  readonly webhookName?: string;
  readonly yes?: boolean;
}

function addTagFlags(command: Command): Command {
  return command
    .argument('<tag>', 'the name; default is what pods get that name none')
    .requiredOption('-r, --revision <name>', 'the revision that it leads to')
    .option('--overwrite', 'move a tag that leads to another revision')
    .option('--auto-inject-namespaces', 'inject namespaces without any label too')
    .option('--webhook-name <name>', 'name of the webhook; default: istio-revision-tag-TAG');
}

/** `meltemi tag`: names that lead to revisions, so that namespaces need not be labelled anew for an upgrade. */
export function addTagCommand(program: Command, context: CommandContext): void {
  const tag = program
    .command('tag')
    .description('Names that lead to revisions: namespaces are labelled with a tag once, and the tag moves')
    .addHelpText('after', '\nExamples:\n  meltemi tag set prod --revision canary\n  meltemi tag list');
  addTagFlags(tag.command('set'))
    .description('Make a tag, or move it with --overwrite')
    .option('-y, --yes', 'do not ask')
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi tag set prod --revision canary\n  meltemi tag set default --revision canary --overwrite',
    )
    .action((name: string, _own: unknown, command: Command) =>
      setTag(context, name, command.optsWithGlobals<TagFlags>()),
    );
  addTagFlags(tag.command('generate'))
    .description('Print the objects of a tag as YAML')
    .option('-y, --yes', 'taken for the sake of scripts; nothing is asked')
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi tag generate prod --revision canary\n  meltemi tag generate prod --revision canary --overwrite | kubectl apply -f -',
    )
    .action(async (name: string, _own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<TagFlags>();
      await withSession(context, flags, async ({ cluster }) =>
        context.terminal.out(toYamlText(await readTag(cluster.client, name, flags))),
      );
    });
  tag
    .command('list')
    .description('The tags of the cluster, and the namespaces that use them')
    .option(...OUTPUT_FLAG)
    .addHelpText('after', '\nExamples:\n  meltemi tag list\n  meltemi tag list --cluster cluster2 -o json')
    .action(async (_own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<ClusterFlags & { readonly output: string }>();
      await withSession(context, flags, async ({ cluster }) =>
        printRows(context.terminal, flags.output, await listTags(cluster.client), {
          columns: [
            { heading: 'TAG', of: ({ tag: name }) => name },
            { heading: 'REVISION', of: ({ revision }) => revision },
            { heading: 'NAMESPACES', of: ({ namespaces }) => namespaces.join(',') },
          ],
          name: ({ tag: name }) => `tag/${name}`,
          none: `There are no tags in ${cluster.name}`,
        }),
      );
    });
  tag
    .command('remove')
    .argument('<tag>', 'the name')
    .description('Remove a tag')
    .option('-y, --yes', 'do not ask')
    .addHelpText('after', '\nExamples:\n  meltemi tag remove prod\n  meltemi tag remove default -y')
    .action((name: string, _own: unknown, command: Command) =>
      removeTag(context, name, command.optsWithGlobals<ClusterFlags & { readonly yes?: boolean }>()),
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

async function setTag(context: CommandContext, tag: string, flags: TagFlags): Promise<void> {
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

async function removeTag(
  context: CommandContext,
  tag: string,
  flags: ClusterFlags & { readonly yes?: boolean },
): Promise<void> {
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
