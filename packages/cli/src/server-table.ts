import type { KubeObject } from '@meltemi/kube';

/** The `Accept` header that asks a server to render objects as rows; Kubernetes API conventions. */
export const TABLE_ACCEPT = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';

/** The server's own rendering of objects of one kind. */
export interface ServerTable {
  readonly metadata?: { readonly resourceVersion?: string };
  /** Absent in the events of a watch after the first. */
  readonly columnDefinitions: readonly { readonly name: string; readonly priority?: number }[] | null;
  readonly rows: readonly {
    readonly cells: readonly unknown[];
    /** Its metadata, or the whole object where the request asked for it. */
    readonly object?: Partial<KubeObject>;
  }[];
}

/** Which of a server's columns are shown, and how its rows become cells. */
export interface TableColumns {
  readonly headings: readonly string[];
  rowsOf(table: ServerTable): string[][];
}

/** Chooses columns as kubectl does: those of priority 0, with `-o wide` all. */
export function chooseColumns(
  table: ServerTable,
  { wide, withNamespace }: { readonly wide: boolean; readonly withNamespace: boolean },
): TableColumns {
  const definitions = table.columnDefinitions ?? [];
  const chosen = definitions.flatMap((column, index) => (wide || (column.priority ?? 0) === 0 ? [index] : []));
  return {
    headings: [
      ...(withNamespace ? ['NAMESPACE'] : []),
      ...chosen.map((index) => definitions[index]?.name.toUpperCase() ?? ''),
    ],
    rowsOf: ({ rows }) =>
      rows.map((row) => [
        ...(withNamespace ? [row.object?.metadata?.namespace ?? ''] : []),
        ...chosen.map((index) => String(row.cells[index] ?? '')),
      ]),
  };
}

/** When an event last happened, Unix milliseconds; 0 when it does not say. */
export function eventTimeMs(event: {
  readonly lastTimestamp?: string | null;
  readonly eventTime?: string | null;
  readonly metadata?: { readonly creationTimestamp?: string };
}): number {
  return Date.parse(event.lastTimestamp ?? event.eventTime ?? event.metadata?.creationTimestamp ?? '') || 0;
}
