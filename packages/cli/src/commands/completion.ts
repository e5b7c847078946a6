import { sleep, systemClock } from '@meltemi/base';
import type { Command } from 'commander';
import { createClusterCompletion } from '../cluster-completion.ts';
import { completeLine } from '../completion.ts';
import { CommandError, EXIT } from '../exit-code.ts';
import type { CommandContext } from '../session.ts';

/** A person waits for the answer to a key: a cluster that takes longer is as good as none. */
const ANSWER_TIMEOUT_MS = 1500;

/** Bash hands over words split at `=` and `:`, and puts the answer in place of the last piece. */
const BASH_SCRIPT = `# bash completion for meltemi: source <(meltemi completion bash)
_meltemi() {
  local IFS=$'\\n'
  COMPREPLY=($("\${COMP_WORDS[0]/#\\~/$HOME}" __complete --shell bash -- "\${COMP_LINE:0:COMP_POINT}" 2>/dev/null))
}
complete -o default -F _meltemi meltemi ./meltemi
`;

const ZSH_SCRIPT = `#compdef meltemi
# zsh completion for meltemi: source <(meltemi completion zsh), or put it into a folder of $fpath as _meltemi
_meltemi() {
  local -a found
  found=(\${(f)"$(\${~words[1]} __complete --shell zsh -- "\${(j: :)words[1,CURRENT]}" 2>/dev/null)"})
  if (( \${#found} > 0 )); then compadd -a found; else _files; fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _meltemi "$@"; else compdef _meltemi meltemi; fi
`;

const SCRIPTS: Readonly<Record<string, string>> = { bash: BASH_SCRIPT, zsh: ZSH_SCRIPT };

/** `meltemi completion`: prints a completion script for a shell; `__complete`, which that script asks at every key. */
export function addCompletionCommand(program: Command, context: CommandContext): void {
  program
    .command('completion')
    .description('Print a completion script: commands, flags, kinds, and names from the running cluster')
    .argument('<shell>', 'bash or zsh')
    .addHelpText(
      'after',
      '\nExamples:\n  source <(meltemi completion bash)\n  meltemi completion zsh > ~/.zfunc/_meltemi',
    )
    .action((shell: string) => {
      const script = SCRIPTS[shell];
      if (script === undefined)
        throw new CommandError(EXIT.usage, `Unknown shell "${shell}"; known are ${Object.keys(SCRIPTS).join(', ')}`);
      context.terminal.out(script);
    });
  program
    .command('__complete', { hidden: true })
    .argument('<line>', 'the command line up to the cursor')
    .option('--shell <shell>', 'which shell asks', 'bash')
    .action(async (line: string, { shell }: { readonly shell: string }) => {
      const answer = completeLine(program, line, createClusterCompletion(context)).catch(
        // There is nobody to tell: without a cluster there is nothing to complete.
        () => [],
      );
      const found = await Promise.race([answer, sleep(systemClock, ANSWER_TIMEOUT_MS).then(() => [])]);
      const current = line.split(/\s+/).at(-1) ?? '';
      const cut = shell === 'bash' ? Math.max(current.lastIndexOf('='), current.lastIndexOf(':')) + 1 : 0;
      context.terminal.out(found.map((word) => `${word.slice(cut)}\n`).join(''));
    });
}
