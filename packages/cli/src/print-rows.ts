import { stringify } from 'yaml';
import { formatTable, parseOutputFormat } from './output.ts';
import type { Terminal } from './terminal.ts';

/** One column of a table that the command line makes itself. */
export interface RowColumn<Row> {
  readonly heading: string;
  /** Only shown with `-o wide`. */
  readonly wide?: true;
  /** An empty text is shown as `-`. */
  of(row: Row): string;
}

/** How rows are shown. */
export interface RowsView<Row> {
  readonly columns: readonly RowColumn<Row>[];
  /** What `-o name` prints of a row. */
  readonly name: (row: Row) => string;
  /** What `-o json` and `-o yaml` print; default: the rows. */
  readonly document?: unknown;
  /** What `table` and `wide` say, on standard error, when there are no rows. */
  readonly none: string;
}

/**
 * Prints rows in any of the forms of `-o`.
 *
 * @throws CommandError usage, for an unknown form.
 */
export function printRows<Row>(terminal: Terminal, output: string, rows: readonly Row[], view: RowsView<Row>): void {
  const format = parseOutputFormat(output);
  const document = view.document ?? rows;
  if (format === 'json') terminal.out(`${JSON.stringify(document, null, 2)}\n`);
  else if (format === 'yaml') terminal.out(stringify(document, { lineWidth: 0, aliasDuplicateObjects: false }));
  else if (format === 'name') for (const row of rows) terminal.out(`${view.name(row)}\n`);
  else if (rows.length === 0) terminal.err(`${view.none}\n`);
  else {
    const columns = view.columns.filter((column) => format === 'wide' || column.wide !== true);
    terminal.out(
      formatTable(
        columns.map(({ heading }) => heading),
        rows.map((row) => columns.map((column) => column.of(row) || '-')),
      ),
    );
  }
}
