import { MeltemiError } from '@meltemi/base';

/** What the command line answers to the shell. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 64,
  unreadable: 65,
  findings: 79,
} as const;

/** An error that ends a command with a given exit code. */
export class CommandError extends MeltemiError {
  readonly exitCode: number;

  constructor(exitCode: number, message: string, options: { readonly cause?: unknown } = {}) {
    super(exitCode === EXIT.usage ? 'USAGE' : exitCode === EXIT.unreadable ? 'UNREADABLE' : 'FAILED', message, options);
    this.exitCode = exitCode;
  }
}

const USAGE_CODES: ReadonlySet<string> = new Set([
  'USAGE',
  'MESH_FILE_INVALID',
  'SANDBOX_UNAVAILABLE',
  'ENVIRONMENT_RUNS',
]);
const UNREADABLE_CODES: ReadonlySet<string> = new Set(['MESH_FILE_UNREADABLE', 'UNREADABLE', 'KUBECONFIG_INVALID']);

/** The exit code of whatever a command threw. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommandError) return error.exitCode;
  if (error instanceof MeltemiError && USAGE_CODES.has(error.code)) return EXIT.usage;
  if (error instanceof MeltemiError && UNREADABLE_CODES.has(error.code)) return EXIT.unreadable;
  return EXIT.failed;
}
