import type { Command } from 'commander';
import { askControlPlane, controlPlanePods } from '../mesh-request.ts';
import { formatTable } from '../output.ts';
import { type ClusterFlags, type CommandContext, withSession } from '../session.ts';

/** One proxy, as the control plane's /debug/syncz shows it. */
interface SyncStatus {
  readonly proxy: string;
  readonly cluster_id?: string;
  readonly proxy_version?: string;
  readonly types: Readonly<
    Record<string, { readonly status: string; readonly acknowledgedVersion?: string; readonly lastError?: string }>
  >;
}

const COLUMNS = ['CDS', 'LDS', 'EDS', 'RDS'] as const;

/** `meltemi proxy-status`: which proxies are connected, and whether they have what they were sent. */
export function addProxyStatusCommand(program: Command, context: CommandContext): void {
  program
    .command('proxy-status')
    .alias('ps')
    .description('Show the connected proxies and whether each has acknowledged what it was sent')
    .option('-o, --output <format>', 'table or json', 'table')
    .addHelpText('after', '\nExamples:\n  meltemi proxy-status\n  meltemi proxy-status -o json')
    .action(async (_own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<ClusterFlags & { readonly output: string }>();
      await withSession(context, flags, async (session) => {
        const { client } = session.controlPlane;
        const rows: { readonly status: SyncStatus; readonly pod: string }[] = [];
        for (const pod of await controlPlanePods(client)) {
          for (const status of await askControlPlane<readonly SyncStatus[]>(client, pod, '/debug/syncz'))
            rows.push({ status, pod: pod.metadata.name });
        }
        if (flags.output === 'json') {
          context.terminal.out(
            `${JSON.stringify(
              rows.map(({ status, pod }) => ({ ...status, controlPlane: pod })),
              null,
              2,
            )}\n`,
          );
          return;
        }
        context.terminal.out(
          formatTable(
            ['NAME', 'CLUSTER', ...COLUMNS, 'VERSION', 'ISTIOD'],
            rows
              .sort((left, right) => (left.status.proxy < right.status.proxy ? -1 : 1))
              .map(({ status, pod }) => [
                status.proxy,
                status.cluster_id ?? '',
                ...COLUMNS.map((type) => status.types[type.toLowerCase()]?.status ?? 'IGNORED'),
                status.types['cds']?.acknowledgedVersion ?? '',
                pod,
              ]),
          ),
        );
        for (const { status } of rows) {
          for (const [type, { lastError }] of Object.entries(status.types)) {
            if (lastError !== undefined && lastError !== '')
              context.terminal.err(`${status.proxy} rejected ${type.toUpperCase()}: ${lastError}\n`);
          }
        }
      });
    });
}
