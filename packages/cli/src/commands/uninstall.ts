import type { Command } from 'commander';
import type { UninstallFlags } from '../install/uninstall-action.ts';
import type { CommandContext } from '../session.ts';

/** `meltemi uninstall`: removes what `install` has applied. */
export function addUninstallCommand(program: Command, context: CommandContext): void {
  program
    .command('uninstall')
    .description('Remove one revision of the control plane, or with --purge all of them and the kinds')
    .option('-r, --revision <name>', 'the revision to remove')
    .option('--purge', "everything, the kinds and with them everybody's configuration included")
    .option('-y, --yes', 'do not ask')
    .option('--dry-run', 'only say what would be removed')
    .addHelpText('after', '\nExamples:\n  meltemi uninstall --revision canary\n  meltemi uninstall --purge --dry-run')
    .action(async (_own: unknown, command: Command) => {
      const { runUninstall } = await import('../install/uninstall-action.ts');
      await runUninstall(context, command.optsWithGlobals<UninstallFlags>());
    });
}
