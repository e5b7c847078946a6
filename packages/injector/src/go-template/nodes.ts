import type { TemplatePosition } from './template-error.ts';

/** Where a node stands, and how it is written: both for errors. */
interface Located {
  readonly position: TemplatePosition;
  readonly written: string;
}

/** What can stand as an argument. */
export type Operand =
  | (Located & { readonly kind: 'dot' })
  | (Located & { readonly kind: 'nil' })
  | (Located & { readonly kind: 'literal'; readonly value: string | boolean | bigint | number })
  | (Located & { readonly kind: 'function'; readonly name: string })
  | (Located & { readonly kind: 'field'; readonly path: readonly string[] })
  | (Located & { readonly kind: 'variable'; readonly name: string; readonly path: readonly string[] })
  | (Located & { readonly kind: 'chain'; readonly base: Operand; readonly path: readonly string[] })
  | (Located & { readonly kind: 'pipeline'; readonly pipeline: Pipeline });

/** A value, or a function with its arguments. */
export interface Command extends Located {
  readonly operands: readonly Operand[];
}

/** Commands of which each gets the result of the one before as its last argument. */
export interface Pipeline extends Located {
  /** Variables that the result is given to. */
  readonly variables: readonly string[];
  /** Whether they exist already. */
  readonly isAssignment: boolean;
  readonly commands: readonly Command[];
}

/** One part of a template. */
export type TemplateNode =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'action'; readonly pipeline: Pipeline }
  | {
      readonly kind: 'if' | 'with' | 'range';
      readonly pipeline: Pipeline;
      readonly body: readonly TemplateNode[];
      readonly otherwise: readonly TemplateNode[] | undefined;
    }
  | (Located & { readonly kind: 'template'; readonly name: string; readonly argument: Pipeline | undefined })
  | { readonly kind: 'break' }
  | { readonly kind: 'continue' };

/** Templates by name: the parsed one and those that it defines. */
export type TemplateTree = ReadonlyMap<string, readonly TemplateNode[]>;
