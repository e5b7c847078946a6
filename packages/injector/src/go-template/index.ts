import { err, messageOf, ok, type Result } from '@meltemi/base/pure';
import { BUILTIN_FUNCTIONS } from './builtins.ts';
import { evaluate, type MissingKey, type TemplateLimits } from './evaluator.ts';
import type { FunctionTable, TemplateFunction } from './functions.ts';
import type { Delimiters } from './lexer.ts';
import type { TemplateNode } from './nodes.ts';
import { parseSource } from './parser.ts';
import { COLLECTION_FUNCTIONS, TYPE_FUNCTIONS } from './sprig/collection-functions.ts';
import { NUMBER_FUNCTIONS } from './sprig/number-functions.ts';
import { TEXT_FUNCTIONS } from './sprig/text-functions.ts';
import { TemplateError, ValueError } from './template-error.ts';
import type { TemplateValue } from './values.ts';

export type { MissingKey, TemplateLimits } from './evaluator.ts';
export { type ArgumentType, type CallContext, define, type FunctionTable, type TemplateFunction } from './functions.ts';
export type { Delimiters } from './lexer.ts';
export { toGoJson } from './sprig/collection-functions.ts';
export { ValueError } from './template-error.ts';
export {
  FIELD,
  isMap,
  isStruct,
  isTrue,
  printValue,
  type StructValue,
  sizeInSteps,
  sortedEntries,
  type TemplateValue,
  toJson,
} from './values.ts';

/** Functions of the library sprig that charts and Istio's templates use, without those that read a clock or make keys. */
export const SPRIG_FUNCTIONS: FunctionTable = new Map<string, TemplateFunction>([
  ...TEXT_FUNCTIONS,
  ...COLLECTION_FUNCTIONS,
  ...NUMBER_FUNCTIONS,
  ...TYPE_FUNCTIONS,
]);

/** Bounds that no sensible template reaches, and that end a mistaken one in well under a second. */
export const DEFAULT_TEMPLATE_LIMITS: TemplateLimits = { maxSteps: 500_000, maxOutput: 4 * 1024 * 1024, maxDepth: 100 };

/** How templates are parsed and evaluated. */
export interface TemplateOptions {
  /** Functions besides Go's own; they win over those. */
  readonly functions?: FunctionTable;
  /** @default '{{' and '}}' */
  readonly delimiters?: Delimiters;
  /** @default 'default' */
  readonly missingKey?: MissingKey;
  /** @default DEFAULT_TEMPLATE_LIMITS */
  readonly limits?: TemplateLimits;
}

/** Parsed templates that can call each other. */
export interface GoTemplates {
  readonly names: readonly string[];
  /**
   * Evaluates one of them.
   *
   * @returns The text, or an error naming template, line, column and action.
   */
  execute(name: string, data: TemplateValue): Result<string>;
}

/**
 * Parses templates in the language of Go's `text/template`.
 *
 * Pure and bounded: an evaluation reads nothing but its data, and ends after {@link TemplateLimits}.
 *
 * @param sources Texts by the name of the template. Later ones may replace what earlier ones define.
 * @returns The templates, or the first error with template, line and column.
 */
export function parseGoTemplates(
  sources: Readonly<Record<string, string>>,
  options: TemplateOptions = {},
): Result<GoTemplates> {
  const { delimiters = { left: '{{', right: '}}' }, missingKey = 'default' } = options;
  const limits = options.limits ?? DEFAULT_TEMPLATE_LIMITS;
  const functions = new Map([...BUILTIN_FUNCTIONS, ...(options.functions ?? [])]);
  const templates = new Map<string, readonly TemplateNode[]>();
  const run = (work: () => string): Result<string> => {
    try {
      return ok(work());
    } catch (error) {
      if (error instanceof TemplateError || error instanceof ValueError) return err(error.message);
      // What is left is the depth of the stack, which the data may exceed.
      if (error instanceof RangeError) return err(`the template or its data is nested too deeply: ${messageOf(error)}`);
      throw error;
    }
  };
  for (const [template, source] of Object.entries(sources)) {
    const parsed = run(() => {
      parseSource({
        template,
        source,
        delimiters,
        isFunction: (name) => functions.has(name),
        maxDepth: limits.maxDepth,
        // A file that only defines others does not take their place.
        onTemplate: (name, nodes) => {
          if (name !== template || !templates.has(name) || !isBlank(nodes)) templates.set(name, nodes);
        },
      });
      return '';
    });
    if (!parsed.ok) return parsed;
  }
  return ok({
    names: [...templates.keys()],
    execute: (name, data) => run(() => evaluate({ templates, functions, limits, missingKey }, name, data)),
  });
}

function isBlank(nodes: readonly TemplateNode[]): boolean {
  return nodes.every((node) => node.kind === 'text' && node.text.trim() === '');
}
