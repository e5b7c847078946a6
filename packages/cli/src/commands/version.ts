import type { Command } from 'commander';
import { OUTPUT_FLAG } from '../output.ts';
import { printRows } from '../print-rows.ts';
import type { CommandContext } from '../session.ts';

/** `meltemi version`. */
export function addVersionCommand(program: Command, context: CommandContext): void {
  program
    .command('version')
    .description('Show the version of this command line and of the Node it runs on')
    .option(...OUTPUT_FLAG)
    .addHelpText('after', '\nExamples:\n  meltemi version\n  meltemi version -o json')
    .action((flags: { readonly output: string }) => {
      const versions = { meltemi: context.version, node: process.versions.node };
      printRows(context.terminal, flags.output, Object.entries(versions), {
        columns: [
          { heading: 'PROGRAM', of: ([program]) => program },
          { heading: 'VERSION', of: ([, version]) => version },
        ],
        name: ([program]) => program,
        document: versions,
        none: '',
      });
    });
}
