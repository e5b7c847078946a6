import type { Command } from 'commander';
import { askEveryControlPlane } from '../mesh-request.ts';
import { OUTPUT_FLAG, parseOutputFormat } from '../output.ts';
import { printRows, type RowsView } from '../print-rows.ts';
import { type ClusterFlags, type CommandContext, withSession } from '../session.ts';

/** One proxy, as the control plane's /debug/syncz shows it. */
interface SyncStatus {
  readonly proxy: string;
  readonly cluster_id?: string;
  readonly proxy_version?: string;
  readonly protocol?: string;
  readonly connected_at?: string;
  readonly types: Readonly<
    Record<string, { readonly status: string; readonly acknowledgedVersion?: string; readonly lastError?: string }>
  >;
}

type Row = SyncStatus & { readonly controlPlane: string };

const TYPES = ['CDS', 'LDS', 'EDS', 'RDS'] as const;

const VIEW: RowsView<Row> = {
  columns: [
    { heading: 'NAME', of: ({ proxy }) => proxy },
    { heading: 'CLUSTER', of: ({ cluster_id: cluster }) => cluster ?? '' },
    ...TYPES.map((type) => ({
      heading: type,
      of: ({ types }: Row) => types[type.toLowerCase()]?.status ?? 'IGNORED',
    })),
    { heading: 'CONFIG VERSION', of: ({ types }) => types['cds']?.acknowledgedVersion ?? '' },
    { heading: 'ISTIOD', of: ({ controlPlane }) => controlPlane },
    { heading: 'PROXY VERSION', wide: true, of: ({ proxy_version: version }) => version ?? '' },
    { heading: 'PROTOCOL', wide: true, of: ({ protocol }) => protocol ?? '' },
    { heading: 'CONNECTED SINCE', wide: true, of: ({ connected_at: since }) => since ?? '' },
  ],
  name: ({ proxy }) => proxy,
  none: 'No proxy is connected; are there pods in a namespace that is labelled istio-injection=enabled?',
};

/** `meltemi proxy-status`: which proxies are connected, and whether they have what they were sent. */
export function addProxyStatusCommand(program: Command, context: CommandContext): void {
  program
    .command('proxy-status')
    .alias('ps')
    .description('Show the connected proxies and whether each has acknowledged what it was sent')
    .option(...OUTPUT_FLAG)
    .addHelpText('after', '\nExamples:\n  meltemi proxy-status\n  meltemi proxy-status -o json')
    .action(async (_own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<ClusterFlags & { readonly output: string }>();
      parseOutputFormat(flags.output);
      await withSession(context, flags, async (session) => {
        const rows: Row[] = await askEveryControlPlane<SyncStatus>(session.controlPlane.client, '/debug/syncz');
        rows.sort((left, right) => (left.proxy < right.proxy ? -1 : 1));
        printRows(context.terminal, flags.output, rows, VIEW);
        for (const { proxy, types } of rows) {
          for (const [type, { lastError }] of Object.entries(types)) {
            if (lastError !== undefined && lastError !== '')
              context.terminal.err(`${proxy} rejected ${type.toUpperCase()}: ${lastError}\n`);
          }
        }
      });
    });
}
