import { createInterface } from 'node:readline/promises';
import { CommandError, EXIT } from '../exit-code.ts';
import type { CommandContext } from '../session.ts';

/**
 * Asks before something is done that is hard to take back.
 *
 * @throws CommandError usage without a terminal to ask on; failed when the answer is not yes.
 */
export async function confirm(context: CommandContext, question: string, skip: boolean): Promise<void> {
  if (skip) return;
  const { terminal, signal } = context;
  if (terminal.stdin.isTTY !== true)
    throw new CommandError(EXIT.usage, `${question} There is no terminal to answer on; say yes with -y`);
  const prompt = createInterface({ input: terminal.stdin, output: terminal.stderr });
  try {
    const answer = await prompt.question(`${question} (y/N) `, { signal });
    if (!/^y(?:es)?$/i.test(answer.trim())) throw new CommandError(EXIT.failed, 'Nothing was changed');
  } finally {
    prompt.close();
  }
}
