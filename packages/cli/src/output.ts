import type { KubeObject } from '@meltemi/kube';
import { stringify } from 'yaml';
import { CommandError, EXIT } from './exit-code.ts';

/** The values of `-o`. */
export const OUTPUT_FORMATS = ['table', 'wide', 'json', 'yaml', 'name'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** The flag `-o`, the same for every command that shows something. */
export const OUTPUT_FLAG = ['-o, --output <format>', 'table, wide, json, yaml or name', 'table'] as const;

/** Checks the value of `-o`. @throws CommandError usage. */
export function parseOutputFormat(text: string): OutputFormat {
  const format = OUTPUT_FORMATS.find((known) => known === text);
  if (format === undefined)
    throw new CommandError(EXIT.usage, `Unknown output "${text}"; known are ${OUTPUT_FORMATS.join(', ')}`);
  return format;
}

/** Rows under their headings in aligned columns, three blanks apart, ending in a line end. */
export function formatTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  return createTablePrinter(headings).print(rows);
}

/** Prints a table that grows: the headings first, then rows as they come, as wide as any were before. */
export function createTablePrinter(headings: readonly string[]): {
  print(rows: readonly (readonly string[])[]): string;
} {
  const widths = headings.map((heading) => heading.length);
  let isFirst = true;
  return {
    print(rows) {
      const lines = isFirst ? [headings, ...rows] : rows;
      isFirst = false;
      for (const cells of lines)
        for (const [column, width] of widths.entries()) widths[column] = Math.max(width, (cells[column] ?? '').length);
      return lines
        .map(
          (cells) =>
            `${cells
              .map((cell, column) => cell.padEnd(widths[column] as number))
              .join('   ')
              .trimEnd()}\n`,
        )
        .join('');
    },
  };
}

/** Objects as JSON or YAML: one as itself, several as a List. Managed fields are left out, as kubectl leaves them. */
export function formatObjects(objects: readonly KubeObject[], format: 'json' | 'yaml', asList: boolean): string {
  const shown = objects.map((object) => {
    const { managedFields: _managedFields, ...metadata } = object.metadata;
    return { ...object, metadata };
  });
  const value = asList ? { apiVersion: 'v1', kind: 'List', items: shown } : shown[0];
  return format === 'json'
    ? `${JSON.stringify(value, null, 2)}\n`
    : stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
}

/** `pod/sleep-1`, `virtualservice.networking.istio.io/helloworld`: names that commands read back. */
export function objectName(kind: string, group: string, name: string): string {
  return `${kind.toLowerCase()}${group === '' ? '' : `.${group}`}/${name}`;
}

/** How long ago, in the short form of kubectl: `5s`, `3m20s`, `2h`, `4d`. */
export function formatAge(sinceMs: number): string {
  const seconds = Math.max(0, Math.floor(sinceMs / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`;
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours}h`;
  return `${Math.floor(hours / 24)}d`;
}
