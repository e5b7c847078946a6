import type { Command } from 'commander';
import { askControlPlane, controlPlanePods } from '../mesh-request.ts';
import { formatTable } from '../output.ts';
import { type ClusterFlags, type CommandContext, withSession } from '../session.ts';

/** One cluster, as the control plane's /debug/clusterz shows it. */
interface ClusterStatus {
  readonly id: string;
  readonly secretName?: string;
  readonly syncStatus: string;
  readonly lastError?: string;
}

/** `meltemi remote-clusters`: the clusters that the control plane watches. */
export function addRemoteClustersCommand(program: Command, context: CommandContext): void {
  program
    .command('remote-clusters')
    .description('Show the clusters that the control plane watches, and whether it is in sync with them')
    .option('-o, --output <format>', 'table or json', 'table')
    .addHelpText('after', '\nExamples:\n  meltemi remote-clusters\n  meltemi remote-clusters -o json')
    .action(async (_own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<ClusterFlags & { readonly output: string }>();
      await withSession(context, flags, async (session) => {
        const { client } = session.controlPlane;
        const rows: { readonly status: ClusterStatus; readonly pod: string }[] = [];
        for (const pod of await controlPlanePods(client)) {
          for (const status of await askControlPlane<readonly ClusterStatus[]>(client, pod, '/debug/clusterz'))
            rows.push({ status, pod: pod.metadata.name });
        }
        if (flags.output === 'json')
          context.terminal.out(
            `${JSON.stringify(
              rows.map(({ status, pod }) => ({ ...status, controlPlane: pod })),
              null,
              2,
            )}\n`,
          );
        else
          context.terminal.out(
            formatTable(
              ['NAME', 'SECRET', 'STATUS', 'ISTIOD'],
              rows.map(({ status, pod }) => [status.id, status.secretName ?? '', status.syncStatus, pod]),
            ),
          );
        for (const { status } of rows)
          if (status.lastError !== undefined && status.lastError !== '')
            context.terminal.err(`${status.id}: ${status.lastError}\n`);
      });
    });
}
