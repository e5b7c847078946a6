import { EVENTS } from '@meltemi/kube';
import type { Command } from 'commander';
import { formatAge, formatTable } from '../output.ts';
import { eventTimeMs } from '../server-table.ts';
import { type ClusterFlags, type CommandContext, withSession } from '../session.ts';

interface EventsFlags extends ClusterFlags {
  readonly allNamespaces?: boolean;
  readonly for?: string;
}

/** `meltemi events`: what happened in a namespace, oldest first. */
export function addEventsCommand(program: Command, context: CommandContext): void {
  program
    .command('events')
    .description('Show what happened, oldest first')
    .option('-A, --all-namespaces', 'events of every namespace')
    .option('--for <object>', 'only events about KIND/NAME')
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi events -n app1\n  meltemi events -n app1 --for pod/sleep-5d8f9c-x2x4z',
    )
    .action(async (_own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<EventsFlags>();
      await withSession(context, flags, async (session) => {
        const [kind, name] = flags.for?.toLowerCase().split('/') ?? [];
        const list = await session.cluster.client.list(EVENTS, {
          namespace: flags.allNamespaces === true ? undefined : session.namespace,
        });
        const events = list.items
          .filter(
            (event) =>
              name === undefined ||
              (event.involvedObject.kind?.toLowerCase() === kind && event.involvedObject.name === name),
          )
          .sort((left, right) => eventTimeMs(left) - eventTimeMs(right));
        if (events.length === 0) {
          context.terminal.err(
            `No events found${flags.allNamespaces === true ? '' : ` in namespace ${session.namespace}`}\n`,
          );
          return;
        }
        const rows = events.map((event) => [
          ...(flags.allNamespaces === true ? [event.metadata.namespace ?? ''] : []),
          formatAge(context.nowMs() - eventTimeMs(event)),
          event.type ?? '',
          event.reason ?? '',
          `${event.involvedObject.kind?.toLowerCase()}/${event.involvedObject.name}`,
          `${event.message ?? ''}${(event.count ?? 1) > 1 ? ` (${event.count} times)` : ''}`,
        ]);
        context.terminal.out(
          formatTable(
            [...(flags.allNamespaces === true ? ['NAMESPACE'] : []), 'AGE', 'TYPE', 'REASON', 'OBJECT', 'MESSAGE'],
            rows,
          ),
        );
      });
    });
}
