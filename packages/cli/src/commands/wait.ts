import type { Command } from 'commander';
import { waitForEverything } from '../distribution.ts';
import { CommandError, EXIT } from '../exit-code.ts';
import { type ClusterFlags, type CommandContext, withSession } from '../session.ts';
import { readTimeoutMs } from './manifest-flags.ts';

interface WaitFlags extends ClusterFlags {
  readonly for: string;
  readonly timeout: string;
}

/** `meltemi wait`: returns when the mesh has reached a state. */
export function addWaitCommand(program: Command, context: CommandContext): void {
  program
    .command('wait')
    .description('Wait until the mesh has reached a state')
    .requiredOption('--for <state>', 'distribution: every connected proxy has acknowledged the newest configuration')
    .option('--timeout <duration>', 'how long to wait', '10s')
    .addHelpText(
      'after',
      '\nExamples:\n  kubectl apply -n app1 -f virtualservice.yaml && meltemi wait --for=distribution\n  meltemi wait --for=distribution --timeout 30s',
    )
    .action(async (_own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<WaitFlags>();
      if (flags.for !== 'distribution')
        throw new CommandError(EXIT.usage, `--for: unknown state "${flags.for}"; known is distribution`);
      const timeoutMs = readTimeoutMs(flags.timeout);
      await withSession(context, flags, async (session) => {
        await waitForEverything(session, timeoutMs);
        context.terminal.out('distributed\n');
      });
    });
}
