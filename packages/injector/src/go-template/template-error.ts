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

/** Line and column of an offset. */
export function positionAt(template: string, source: string, offset: number): TemplatePosition {
  const before = source.slice(0, offset);
  const lastBreak = before.lastIndexOf('\n');
  return { template, line: before.split('\n').length, column: offset - lastBreak };
}
