/** Where in a template something stands. Lines and columns begin at 1. */
export interface TemplatePosition {
  readonly template: string;
  readonly line: number;
  readonly column: number;
}

/**
 * A template that cannot be parsed or evaluated. Thrown inside this folder only: its entry returns errors as values.
 */
export class TemplateError extends Error {
  override readonly name = 'TemplateError';
  readonly position: TemplatePosition;
  /** What was evaluated or read, as it stands in the template, shortened. */
  readonly action: string;

  constructor(message: string, position: TemplatePosition, action: string) {
    const { template, line, column } = position;
    const at = action === '' ? '' : `at <${shorten(action)}>: `;
    super(`template ${template}:${line}:${column}: ${at}${message}`);
    this.position = position;
    this.action = action;
  }
}

const MAX_ACTION_LENGTH = 60;

function shorten(action: string): string {
  const line = action.replaceAll(/\s+/g, ' ').trim();
  return line.length <= MAX_ACTION_LENGTH ? line : `${line.slice(0, MAX_ACTION_LENGTH)}…`;
}

/** What a function or value refuses, before its place in the template is known. */
export class ValueError extends Error {
  override readonly name = 'ValueError';
}

/** Finds line and column of an offset. */
export type Locate = (offset: number) => TemplatePosition;

/** Prepares a source, so that finding a place in it does not read it again. */
export function createLocator(template: string, source: string): Locate {
  const starts = [0];
  for (let index = source.indexOf('\n'); index >= 0; index = source.indexOf('\n', index + 1)) starts.push(index + 1);
  return (offset) => {
    let [low, high] = [0, starts.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((starts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return { template, line: low + 1, column: offset - (starts[low] ?? 0) + 1 };
  };
}
