import { DEPLOYMENTS } from '@meltemi/kube';
import { readTimeoutMs } from '../commands/manifest-flags.ts';
import { CommandError, EXIT } from '../exit-code.ts';
import { type CommandContext, type Session, withSession } from '../session.ts';
import type { Outcome } from './apply-plan.ts';
import { confirm } from './confirm.ts';
import { type InstallFlags, warn } from './install-flags.ts';
import { COMPONENT_LABEL, type InstallPlan, REVISION_LABEL } from './install-plan.ts';
import { describeObject, findOutdated } from './installed-objects.ts';
import { readPlan } from './read-plan.ts';
import { readInjectionWebhooks } from './revision-tags.ts';
import { runInstallation } from './run-installation.ts';

/** Flags of the commands that apply an installation. */
export interface RunFlags extends InstallFlags {
  readonly yes?: boolean;
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly readinessTimeout: string;
}

/** What `meltemi install` does. */
export async function runInstall(context: CommandContext, flags: RunFlags): Promise<void> {
  await apply(context, flags, async () => {});
}

/** What `meltemi upgrade` does. */
export async function runUpgrade(context: CommandContext, flags: RunFlags): Promise<void> {
  await apply(context, flags, refuseMissing);
}

/** An upgrade that finds nothing is most often in the wrong cluster. */
async function refuseMissing(session: Session, { spec }: InstallPlan): Promise<void> {
  const { items } = await session.cluster.client.list(DEPLOYMENTS, {
    namespace: spec.namespace,
    labelSelector: `${COMPONENT_LABEL}=control-plane,${REVISION_LABEL}=${spec.revision}`,
  });
  if (spec.hasPilot && items.length === 0)
    throw new CommandError(
      EXIT.failed,
      `Cannot upgrade: "meltemi install" has left no control plane of revision ${spec.revision} in namespace ${spec.namespace} of ${session.cluster.name}; Helm's releases are upgraded by Helm`,
    );
}

async function apply(
  context: CommandContext,
  flags: RunFlags,
  check: (session: Session, plan: InstallPlan) => Promise<void>,
): Promise<void> {
  const readinessTimeoutMs = readTimeoutMs(flags.readinessTimeout);
  const plan = await readPlan(context, flags);
  const { terminal } = context;
  await withSession(context, flags, async (session) => {
    await check(session, plan);
    const components = plan.components.map(({ name, revision }) =>
      revision === undefined || revision === 'default' ? name : `${name} (revision ${revision})`,
    );
    const what = `${components.join(', ')} in namespace ${plan.spec.namespace} of ${session.cluster.name}`;
    const outdated = await findOutdated(session.cluster.client, plan);
    const removes = outdated.map(({ object }) => describeObject(object));
    const also = removes.length === 0 ? '' : ` and removes what an earlier version has left: ${removes.join(', ')}`;
    await confirm(context, `This installs ${what}${also}. Go on?`, flags.yes === true || flags.dryRun === true);
    const suffix = flags.dryRun === true ? ' (dry run)' : '';
    const counts = await runInstallation({
      client: session.cluster.client,
      plan,
      outdated,
      force: flags.force,
      dryRun: flags.dryRun,
      readinessTimeoutMs,
      signal: context.signal,
      onProgress: (message) => terminal.err(`${message}\n`),
      onWarning: (message) => warn(context, message),
      onOutcome(object, outcome) {
        if (outcome !== 'unchanged') terminal.out(`${describeObject(object)} ${outcome}${suffix}\n`);
      },
    });
    terminal.out(`${summary(counts)}${suffix}: ${what}\n`);
    if (flags.dryRun !== true && plan.spec.hasPilot) await hintAtDefault(context, session, plan.spec.revision);
  });
}

/** Pods that name no revision get a sidecar from the default one, or from whom the tag `default` leads to. */
async function hintAtDefault(context: CommandContext, { cluster }: Session, revision: string): Promise<void> {
  const { revisions, tags } = await readInjectionWebhooks(cluster.client);
  if (revisions.has('default') || tags.some(({ metadata }) => metadata.labels?.['istio.io/tag'] === 'default')) return;
  context.terminal.err(
    `Pods of namespaces with istio-injection=enabled get no sidecar yet: "meltemi tag set default --revision ${revision}"\n`,
  );
}

function summary(counts: Readonly<Record<Outcome, number>>): string {
  const parts = Object.entries(counts).filter(([, count]) => count > 0);
  return parts.map(([outcome, count]) => `${count} ${outcome}`).join(', ') || 'nothing to do';
}
