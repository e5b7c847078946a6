/** What a subcommand gets from the process: nothing else of it is read. */
export interface CommandContext {
  /** Arguments after the subcommand's name. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Writes to standard output, as it is. */
  readonly print: (text: string) => void;
  /** Writes one line to standard error. */
  readonly printError: (line: string) => void;
}

/** A subcommand: returns the exit code. */
export type Command = (context: CommandContext) => Promise<number>;

/** Exit codes of the agent's subcommands. */
export const EXIT = { ok: 0, failed: 1, usage: 64 } as const;
