import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import { CommandError, EXIT } from '../exit-code.ts';
import { type ClusterFlags, type CommandContext, resolveContainer, resolvePod, withSession } from '../session.ts';

interface LogsFlags extends ClusterFlags {
  readonly container?: string;
  readonly follow?: boolean;
  readonly previous?: boolean;
  readonly timestamps?: boolean;
  readonly tail?: string;
}

/** `meltemi logs`: shows what a container wrote. */
export function addLogsCommand(program: Command, context: CommandContext): void {
  program
    .command('logs')
    .description('Show the log of a container')
    .argument('<target>', 'POD, pod/POD or deploy/NAME')
    .option('-c, --container <name>', "the container, such as istio-proxy; default: the pod's default container")
    .option('-f, --follow', 'go on as the log grows')
    .option('-p, --previous', 'the log of the run before the last restart')
    .option('--timestamps', 'begin each line with its time')
    .option('--tail <lines>', 'only the last lines')
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi logs -n app1 deploy/helloworld-v1\n  meltemi logs -n app1 deploy/sleep -c istio-proxy -f --tail 10',
    )
    .action(async (target: string, _own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<LogsFlags>();
      const tailLines = flags.tail === undefined ? undefined : Number(flags.tail);
      if (tailLines !== undefined && !Number.isInteger(tailLines))
        throw new CommandError(EXIT.usage, `--tail needs a whole number, not "${flags.tail}"`);
      await withSession(context, flags, async (session) => {
        const { client } = session.cluster;
        const pod = await resolvePod(client, target, session.namespace);
        const stream = await client.logs(pod.metadata, {
          container: resolveContainer(pod, flags.container),
          follow: flags.follow,
          previous: flags.previous,
          timestamps: flags.timestamps,
          tailLines: tailLines !== undefined && tailLines >= 0 ? tailLines : undefined,
          signal: context.signal,
        });
        const sink = new Writable({
          write(chunk: Buffer, _encoding, done) {
            if (context.terminal.stdout.write(chunk)) done();
            else context.terminal.stdout.once('drain', () => done());
          },
        });
        try {
          await pipeline(stream, sink);
        } catch (error) {
          if (!context.signal.aborted) throw error;
        }
      });
    });
}
