import { toYamlText } from '@meltemi/control-plane';
import type { Command } from 'commander';
import { addInstallFlags, type InstallFlags, profilesHelp, readPlan } from '../install/install-flags.ts';
import { plannedObjects } from '../install/install-plan.ts';
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
      const plan = await readPlan(context, command.optsWithGlobals<InstallFlags>());
      context.terminal.out(toYamlText(plannedObjects(plan)));
    });
}
