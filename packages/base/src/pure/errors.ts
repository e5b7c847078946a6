/** What a {@link MeltemiError} carries besides its message. */
export interface MeltemiErrorOptions {
  readonly cause?: unknown;
  /** Facts for logs and tests; never secrets. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/**
 * An error with a stable code, which logs, tests and the CLI's exit codes go by.
 *
 * Messages read `Action: what was seen, what was needed; hint`, without a final period and without secrets.
 */
export class MeltemiError extends Error {
  readonly code: string;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: string, message: string, options: MeltemiErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'MeltemiError';
    this.code = code;
    this.details = Object.freeze({ ...options.details });
  }
}

/** Marks a branch that the types rule out; reaching it is a bug. */
export function assertNever(value: never, context: string): never {
  throw new Error(`BUG: unexpected ${context}: ${JSON.stringify(value)}`);
}

/** The text of anything that was thrown, with the texts of its causes that it does not quote itself. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : messageOf(error.cause);
  return cause === '' || error.message.includes(cause) ? error.message : `${error.message}: ${cause}`;
}
