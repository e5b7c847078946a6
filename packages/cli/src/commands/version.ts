import type { Command } from 'commander';
import type { CommandContext } from '../session.ts';

/** `meltemi version`. */
export function addVersionCommand(program: Command, context: CommandContext): void {
  program
    .command('version')
    .description('Show the version of this command line and of the Node it runs on')
    .option('-o, --output <format>', 'text or json', 'text')
    .addHelpText('after', '\nExamples:\n  meltemi version\n  meltemi version -o json')
    .action((flags: { readonly output: string }) => {
      const versions = { meltemi: context.version, node: process.versions.node };
      context.terminal.out(
        flags.output === 'json'
          ? `${JSON.stringify(versions)}\n`
          : `meltemi ${versions.meltemi}\nnode    ${versions.node}\n`,
      );
    });
}
