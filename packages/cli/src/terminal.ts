/** Where a command writes, and what its streams can show. */
export interface Terminal {
  /** Results: what a script would read. */
  out(text: string): void;
  /** Everything else: progress, warnings, errors. */
  err(text: string): void;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  /** Whether `err` goes to a terminal that shows colour. Results have none, wherever they go. */
  readonly colour: boolean;
}

/** The process's own streams. Colour only on a terminal, and not when NO_COLOR asks for none. */
export function createTerminal(env: Readonly<Record<string, string | undefined>>): Terminal {
  const { stdin, stdout, stderr } = process;
  return {
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    stdin,
    stdout,
    stderr,
    colour: stderr.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb',
  };
}

const CODES = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39], yellow: [33, 39] } as const;

/** Text for `err`, in a colour or weight where the terminal shows it, plain text elsewhere. */
export function paint(terminal: Terminal, style: keyof typeof CODES, text: string): string {
  const [on, off] = CODES[style];
  return terminal.colour ? `\x1b[${on}m${text}\x1b[${off}m` : text;
}
