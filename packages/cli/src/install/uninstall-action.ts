import { KINDS } from '@meltemi/api';
import { CUSTOM_RESOURCE_DEFINITIONS, isNotFound, type KubeClient, PODS, resourceRef } from '@meltemi/kube';
import { CommandError, EXIT } from '../exit-code.ts';
import { type ClusterFlags, type CommandContext, withSession } from '../session.ts';
import { confirm } from './confirm.ts';
import { COMPONENT_LABEL, REVISION_LABEL } from './install-plan.ts';
import { findInstalled, removeObjects } from './installed-objects.ts';
import { listTags, readInjectionWebhooks } from './revision-tags.ts';

/** Flags of `meltemi uninstall`. */
export interface UninstallFlags extends ClusterFlags {
  readonly revision?: string;
  readonly purge?: boolean;
  readonly yes?: boolean;
  readonly dryRun?: boolean;
}

/** What `meltemi uninstall` does. */
export async function runUninstall(context: CommandContext, flags: UninstallFlags): Promise<void> {
  const { terminal } = context;
  if ((flags.revision === undefined) === (flags.purge !== true))
    throw new CommandError(EXIT.usage, 'Name what to remove: --revision NAME (default is one too), or --purge');
  await withSession(context, flags, async ({ cluster }) => {
    const { client } = cluster;
    const selector = flags.revision === undefined ? COMPONENT_LABEL : `${REVISION_LABEL}=${flags.revision}`;
    const installed = await findInstalled(client, selector);
    const definitions = flags.purge === true ? await ownDefinitions(client) : [];
    if (installed.length === 0 && definitions.length === 0)
      throw new CommandError(
        EXIT.failed,
        `"meltemi install" has left nothing${flags.revision === undefined ? '' : ` of revision ${flags.revision}`} in ${cluster.name}`,
      );
    await refuseTagged(client, flags.revision);
    const consequences = [
      ...(await sidecarConsequence(client, flags.revision)),
      ...(await configurationConsequence(client, definitions)),
    ];
    const count = installed.length + definitions.length;
    const question = `This removes ${count} objects from ${cluster.name}${consequences.map((text) => `; ${text}`).join('')}. Go on?`;
    if (flags.dryRun === true) terminal.err(`${question.replace(/ Go on\?$/, '')}\n`);
    await confirm(context, question, flags.yes === true || flags.dryRun === true);
    const suffix = flags.dryRun === true ? ' (dry run)' : '';
    const say = (kind: string, name: string): void => terminal.out(`${kind} ${name} removed${suffix}\n`);
    await removeObjects(client, installed, {
      dryRun: flags.dryRun,
      onRemoved: ({ kind, metadata }) =>
        say(kind, metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`),
    });
    for (const name of definitions) {
      if (flags.dryRun !== true) await client.delete(CUSTOM_RESOURCE_DEFINITIONS, { name });
      say('CustomResourceDefinition', name);
    }
  });
}

/** Definitions that an installation has applied; those of others stay. */
async function ownDefinitions(client: KubeClient): Promise<readonly string[]> {
  const { items } = await client.list(CUSTOM_RESOURCE_DEFINITIONS, { labelSelector: COMPONENT_LABEL });
  return items.map(({ metadata }) => metadata.name);
}

/** While the tag `default` leads to a revision, the default one is silent; it would stay so when the tag goes with it. */
async function refuseTagged(client: KubeClient, revision: string | undefined): Promise<void> {
  if (revision === undefined || revision === 'default') return;
  const { revisions } = await readInjectionWebhooks(client);
  const isDefault = (await listTags(client)).some(
    ({ tag, revision: leadsTo }) => tag === 'default' && leadsTo === revision,
  );
  if (isDefault && revisions.has('default'))
    throw new CommandError(
      EXIT.failed,
      `Tag default leads to revision ${revision}; give pods back to revision default with "meltemi tag remove default" first`,
    );
}

/** Pods whose sidecars lose their control plane. */
async function sidecarConsequence(client: KubeClient, revision: string | undefined): Promise<readonly string[]> {
  const { items } = await client.list(PODS);
  const injected = items.filter(({ metadata }) => {
    const status = metadata.annotations?.['sidecar.istio.io/status'];
    return status !== undefined && (revision === undefined || metadata.annotations?.['istio.io/rev'] === revision);
  });
  return injected.length === 0
    ? []
    : [`${injected.length} pods have sidecars that then get no configuration and no new certificates`];
}

async function configurationConsequence(
  client: KubeClient,
  definitions: readonly string[],
): Promise<readonly string[]> {
  let count = 0;
  for (const { group, plural, kind, storageVersion } of KINDS) {
    if (!definitions.includes(`${plural}.${group}`)) continue;
    try {
      count += (await client.list(resourceRef({ group, version: storageVersion, plural, kind }))).items.length;
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
  return count === 0 ? [] : [`${count} objects of the mesh's configuration go with their kinds`];
}
