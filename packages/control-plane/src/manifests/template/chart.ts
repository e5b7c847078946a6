import type { Condition, Helper, Node } from './node.ts';
import type { ValuesTable } from './values-table.ts';

/** One file of a chart's templates: objects that belong together. */
export interface TemplateFile {
  /** Without folder and ending. */
  readonly name: string;
  readonly objects: readonly Node[];
}

/** Something that an installer is told, or stopped by. */
export interface Advice {
  readonly if: Condition;
  readonly message: string;
}

/** A Helm chart, and what `meltemi manifest generate` renders. */
export interface Chart {
  readonly name: string;
  readonly description: string;
  readonly values: ValuesTable;
  readonly helpers: Readonly<Record<string, Helper>>;
  readonly files: readonly TemplateFile[];
  /** Values that cannot be together; rendering fails with the first message. */
  readonly refusals: readonly Advice[];
  /** What is told after an installation, beside `notes`. */
  readonly warnings: readonly Advice[];
  /** The next steps, as Helm prints them; no templates. */
  readonly notes: string;
}

/** The version of all charts and of the software that they install. */
export const CHART_VERSION = '0.1.0';
