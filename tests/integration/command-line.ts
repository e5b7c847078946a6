import { messageOf, systemClock } from '@meltemi/base';
import { exitCodeOf } from '../../packages/cli/src/exit-code.ts';
import { openSession } from '../../packages/cli/src/open-session.ts';
import { buildProgram } from '../../packages/cli/src/program.ts';
import { createTerminal } from '../../packages/cli/src/terminal.ts';

/** How a command ended and what it said. */
export interface CommandOutcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `meltemi ARGS` in this process, with the clusters of one kubeconfig. */
export async function runMeltemi(kubeconfig: string, ...args: readonly string[]): Promise<CommandOutcome> {
  let stdout = '';
  let stderr = '';
  const program = buildProgram({
    terminal: {
      ...createTerminal({}),
      out: (text) => void (stdout += text),
      err: (text) => void (stderr += text),
      colour: false,
    },
    version: '0.0.0',
    openSession: (flags) => openSession({ ...flags, kubeconfig }, {}),
    nowMs: () => systemClock.nowMs(),
    env: {},
    signal: new AbortController().signal,
  });
  let code = 0;
  try {
    await program.parseAsync(['node', 'meltemi', ...args]);
  } catch (error) {
    code = exitCodeOf(error);
    stderr += `${messageOf(error)}\n`;
  }
  return { code, stdout, stderr };
}
