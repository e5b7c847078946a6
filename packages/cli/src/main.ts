import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf, systemClock } from '@meltemi/base';
import { CommanderError } from 'commander';
import { CommandError, EXIT, exitCodeOf } from './exit-code.ts';
import { openSession } from './open-session.ts';
import { buildProgram } from './program.ts';
import type { CommandContext } from './session.ts';
import { createTerminal, paint } from './terminal.ts';

/** Signals within this time of the first are the same wish to stop. */
const SAME_INTERRUPT_MS = 1000;

const terminal = createTerminal(process.env);
const interrupted = new AbortController();
let interruptedAtMs: number | undefined;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    const nowMs = performance.now();
    interruptedAtMs ??= nowMs;
    // One Ctrl-C may come several times: the terminal sends it to everybody in the foreground, and npm and the launcher
    // pass on what they get. A later one is a person who will not wait; what was started ends with this process.
    if (nowMs - interruptedAtMs > SAME_INTERRUPT_MS) process.exit(EXIT.failed);
    interrupted.abort();
  });
}
process.stdout.on('error', (error: NodeJS.ErrnoException) =>
  process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.failed),
);

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')) as {
  readonly version: string;
};
const context: CommandContext = {
  terminal,
  version,
  signal: interrupted.signal,
  env: process.env,
  nowMs: () => systemClock.nowMs(),
  openSession: (flags) =>
    openSession(flags, { MELTEMI_DIR: process.env['MELTEMI_DIR'], KUBECONFIG: process.env['KUBECONFIG'] }),
};

// A command that waits between two looks at a server has nothing but a timer of a Clock, which keeps no process alive.
const alive = setInterval(() => {}, 2 ** 30);
try {
  await buildProgram(context).parseAsync(process.argv);
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has written help or the fault already; help asked for is no fault.
    process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  } else {
    if (!(error instanceof CommandError && error.message === ''))
      terminal.err(`${paint(terminal, 'red', 'Error')}: ${messageOf(error)}\n`);
    process.exitCode = exitCodeOf(error);
  }
} finally {
  clearInterval(alive);
}
