import type { Command } from 'commander';
import type { RemoveTagFlags, ShowTagsFlags, TagFlags } from '../install/tag-actions.ts';
import { OUTPUT_FLAG } from '../output.ts';
import type { CommandContext } from '../session.ts';

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
    .action(async (name: string, _own: unknown, command: Command) => {
      const { setTag } = await import('../install/tag-actions.ts');
      await setTag(context, name, command.optsWithGlobals<TagFlags>());
    });
  addTagFlags(tag.command('generate'))
    .description('Print the objects of a tag as YAML')
    .option('-y, --yes', 'taken for the sake of scripts; nothing is asked')
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi tag generate prod --revision canary\n  meltemi tag generate prod --revision canary --overwrite | kubectl apply -f -',
    )
    .action(async (name: string, _own: unknown, command: Command) => {
      const { generateTag } = await import('../install/tag-actions.ts');
      await generateTag(context, name, command.optsWithGlobals<TagFlags>());
    });
  tag
    .command('list')
    .description('The tags of the cluster, and the namespaces that use them')
    .option(...OUTPUT_FLAG)
    .addHelpText('after', '\nExamples:\n  meltemi tag list\n  meltemi tag list --cluster cluster2 -o json')
    .action(async (_own: unknown, command: Command) => {
      const { showTags } = await import('../install/tag-actions.ts');
      await showTags(context, command.optsWithGlobals<ShowTagsFlags>());
    });
  tag
    .command('remove')
    .argument('<tag>', 'the name')
    .description('Remove a tag')
    .option('-y, --yes', 'do not ask')
    .addHelpText('after', '\nExamples:\n  meltemi tag remove prod\n  meltemi tag remove default -y')
    .action(async (name: string, _own: unknown, command: Command) => {
      const { removeTag } = await import('../install/tag-actions.ts');
      await removeTag(context, name, command.optsWithGlobals<RemoveTagFlags>());
    });
}
