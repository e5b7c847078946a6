import type { Command } from 'commander';
import { addInstallFlags, type InstallFlags, profilesHelp } from '../install/install-flags.ts';
import type { CommandContext } from '../session.ts';

/** `meltemi manifest generate`: prints what `install` would apply. It talks to no cluster. */
export function addManifestCommand(program: Command, context: CommandContext): void {
  const manifest = program
    .command('manifest')
    .description('What an installation consists of')
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi manifest generate\n  meltemi manifest generate --set profile=remote --set values.global.multiCluster.clusterName=cluster2',
    );
  addInstallFlags(manifest.command('generate'))
    .description('Print the objects that "meltemi install" applies, as YAML; asks no cluster')
    .addHelpText(
      'after',
      `${profilesHelp()}\n\nExamples:\n  meltemi manifest generate --set profile=demo\n  meltemi manifest generate -f operator.yaml --revision canary`,
    )
    .action(async (_own: unknown, command: Command) => {
      // What renders charts is loaded only by those who do.
      const [{ toYamlText }, { plannedObjects }, { readPlan }] = await Promise.all([
        import('@meltemi/control-plane'),
        import('../install/install-plan.ts'),
        import('../install/read-plan.ts'),
      ]);
      const plan = await readPlan(context, command.optsWithGlobals<InstallFlags>());
      context.terminal.out(toYamlText(plannedObjects(plan)));
    });
}
