import { DEPLOYMENTS } from '@meltemi/kube';
import type { Command } from 'commander';
import { CommandError, EXIT } from '../exit-code.ts';
import type { Outcome } from '../install/apply-plan.ts';
import { confirm } from '../install/confirm.ts';
import { addInstallFlags, type InstallFlags, profilesHelp, readPlan, warn } from '../install/install-flags.ts';
import { COMPONENT_LABEL, type InstallPlan, REVISION_LABEL } from '../install/install-plan.ts';
import { runInstallation } from '../install/run-installation.ts';
import { type CommandContext, type Session, withSession } from '../session.ts';
import { readTimeoutMs } from './manifest-flags.ts';

interface RunFlags extends InstallFlags {
  readonly yes?: boolean;
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly readinessTimeout: string;
}

/** Flags of the two commands that apply an installation. */
function addRunFlags(command: Command): Command {
  return addInstallFlags(command)
    .option('-y, --yes', 'do not ask')
    .option('--dry-run', 'only ask the API server what would happen')
    .option('--force', 'take fields over that somebody else has set')
    .option('--readiness-timeout <duration>', 'how long to wait until everything works', '300s');
}

/** `meltemi install`: applies an installation to a cluster, and waits until it works. */
export function addInstallCommand(program: Command, context: CommandContext): void {
  addRunFlags(program.command('install'))
    .description('Install a control plane, or what a cluster needs to be served by another, and wait until it works')
    .addHelpText(
      'after',
      `${profilesHelp()}\n\nExamples:\n  meltemi install --set profile=demo -y\n  meltemi install --revision canary -f operator.yaml --dry-run`,
    )
    .action((_own: unknown, command: Command) => apply(context, command.optsWithGlobals<RunFlags>(), async () => {}));
}

/** `meltemi upgrade`: the same, over an installation that must be there. */
export function addUpgradeCommand(program: Command, context: CommandContext): void {
  addRunFlags(program.command('upgrade'))
    .description(
      'Bring an installed revision to this version in place; by another revision, use "install" and "tag set"',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi upgrade -f operator.yaml\n  meltemi upgrade --revision canary --dry-run',
    )
    .action((_own: unknown, command: Command) => apply(context, command.optsWithGlobals<RunFlags>(), refuseMissing));
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
    await confirm(context, `This installs ${what}. Go on?`, flags.yes === true || flags.dryRun === true);
    const suffix = flags.dryRun === true ? ' (dry run)' : '';
    const counts = await runInstallation({
      client: session.cluster.client,
      plan,
      force: flags.force,
      dryRun: flags.dryRun,
      readinessTimeoutMs,
      signal: context.signal,
      onProgress: (message) => terminal.err(`${message}\n`),
      onWarning: (message) => warn(context, message),
      onOutcome({ kind, metadata }, outcome) {
        if (outcome === 'unchanged') return;
        const name = metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`;
        terminal.out(`${kind} ${name} ${outcome}${suffix}\n`);
      },
    });
    terminal.out(`${summary(counts)}${suffix}: ${what}\n`);
  });
}

function summary(counts: Readonly<Record<Outcome, number>>): string {
  const parts = Object.entries(counts).filter(([, count]) => count > 0);
  return parts.map(([outcome, count]) => `${count} ${outcome}`).join(', ') || 'nothing to do';
}
