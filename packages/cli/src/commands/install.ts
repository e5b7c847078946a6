import type { Command } from 'commander';
import type { RunFlags } from '../install/install-action.ts';
import { addInstallFlags, profilesHelp } from '../install/install-flags.ts';
import type { CommandContext } from '../session.ts';

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
    .action(async (_own: unknown, command: Command) => {
      // What renders charts is loaded only by those who do.
      const { runInstall } = await import('../install/install-action.ts');
      await runInstall(context, command.optsWithGlobals<RunFlags>());
    });
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
    .action(async (_own: unknown, command: Command) => {
      const { runUpgrade } = await import('../install/install-action.ts');
      await runUpgrade(context, command.optsWithGlobals<RunFlags>());
    });
}
