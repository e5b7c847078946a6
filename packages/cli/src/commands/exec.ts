import type { Command } from 'commander';
import { CommandError } from '../exit-code.ts';
import { type ClusterFlags, type CommandContext, resolveContainer, resolvePod, withSession } from '../session.ts';

interface ExecFlags extends ClusterFlags {
  readonly container?: string;
  readonly stdin?: boolean;
  readonly tty?: boolean;
}

/** `meltemi exec`: runs a command in a container; ends with the command's exit code. */
export function addExecCommand(program: Command, context: CommandContext): void {
  program
    .command('exec')
    .description('Run a command in a container of a pod')
    .argument('<target>', 'POD, pod/POD or deploy/NAME')
    .argument('<command...>', 'the command, after --')
    .option('-c, --container <name>', "the container; default: the pod's default container")
    .option('-i, --stdin', 'pass standard input on')
    .option('-t, --tty', 'give the command a terminal')
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi exec -n app1 deploy/sleep -- curl -s helloworld.app1:5000/hello\n  meltemi exec -n app1 -it deploy/sleep -- sh',
    )
    .showHelpAfterError(
      'The command comes after --, as in "meltemi exec deploy/sleep -- curl -s URL"; see "meltemi exec --help"',
    )
    .action(async (target: string, words: string[], _own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<ExecFlags>();
      await withSession(context, flags, async (session) => {
        const { client } = session.cluster;
        const pod = await resolvePod(client, target, session.namespace);
        const { stdin, stdout, stderr } = context.terminal;
        const tty = flags.tty === true && stdin.isTTY === true;
        const run = client.exec({
          pod: pod.metadata,
          container: resolveContainer(pod, flags.container),
          command: words,
          ...(flags.stdin === true || tty ? { stdin } : {}),
          stdout,
          stderr,
          tty,
          signal: context.signal,
        });
        if (tty) {
          stdin.setRawMode(true);
          const resize = (): void => run.resize({ columns: stdout.columns, rows: stdout.rows });
          stdout.on('resize', resize);
          resize();
        }
        let code: number;
        try {
          code = await run.done;
        } finally {
          if (tty) stdin.setRawMode(false);
          stdin.unref?.();
        }
        if (code !== 0) throw new CommandError(code, '');
      });
    });
}
