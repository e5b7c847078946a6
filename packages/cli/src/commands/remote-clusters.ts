import type { Command } from 'commander';
import { askEveryControlPlane, type ControlPlaneOrigin } from '../mesh-request.ts';
import { formatAge, OUTPUT_FLAG, parseOutputFormat } from '../output.ts';
import { printRows, type RowsView } from '../print-rows.ts';
import { type ClusterFlags, type CommandContext, withSession } from '../session.ts';

/** One cluster, as the control plane's /debug/clusterz shows it. */
interface ClusterStatus {
  readonly id: string;
  readonly secretName?: string;
  readonly syncStatus: string;
  readonly server?: string;
  readonly lastSuccessfulWatchAgeMs?: number;
  readonly lastError?: string;
  readonly limits?: readonly string[];
}

type Row = ClusterStatus & ControlPlaneOrigin;

const VIEW: RowsView<Row> = {
  columns: [
    { heading: 'NAME', of: ({ id }) => id },
    { heading: 'SECRET', of: ({ secretName = '' }) => secretName },
    { heading: 'STATUS', of: ({ syncStatus }) => syncStatus },
    { heading: 'ISTIOD', of: ({ controlPlane }) => controlPlane },
    { heading: 'REVISION', of: ({ revision }) => revision },
    { heading: 'SERVER', wide: true, of: ({ server = '' }) => server },
    {
      heading: 'LAST HEARD',
      wide: true,
      of: ({ lastSuccessfulWatchAgeMs: ageMs }) => (ageMs === undefined ? '' : `${formatAge(ageMs)} ago`),
    },
  ],
  name: ({ id }) => id,
  none: 'The control plane watches no cluster',
};

/** Why a cluster is not as it should be, and for how long; nothing while all is well. */
function explain(row: Row): string[] {
  const { id, secretName = '', syncStatus, lastSuccessfulWatchAgeMs: ageMs, lastError = '', limits = [] } = row;
  const heard = ageMs === undefined || syncStatus === 'synced' ? '' : `, last heard ${formatAge(ageMs)} ago`;
  const by = syncStatus === 'refused' ? ` by ${secretName}` : '';
  const error = lastError === '' ? [] : [`${id} is ${syncStatus}${by}${heard}: ${lastError}`];
  return [...error, ...limits.map((limit) => `${id}: its secret ${limit}`)];
}

/** `meltemi remote-clusters`: the clusters that the control plane watches. */
export function addRemoteClustersCommand(program: Command, context: CommandContext): void {
  program
    .command('remote-clusters')
    .description('Show the clusters that the control plane watches, and whether it is in sync with them')
    .option(...OUTPUT_FLAG)
    .addHelpText('after', '\nExamples:\n  meltemi remote-clusters\n  meltemi remote-clusters -o json')
    .action(async (_own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<ClusterFlags & { readonly output: string }>();
      parseOutputFormat(flags.output);
      await withSession(context, flags, async (session) => {
        const rows: Row[] = await askEveryControlPlane<ClusterStatus>(session.controlPlane.client, '/debug/clusterz');
        printRows(context.terminal, flags.output, rows, VIEW);
        for (const text of new Set(rows.flatMap(explain))) context.terminal.err(`${text}\n`);
      });
    });
}
