import type { Command } from 'commander';
import { CommandError, EXIT } from '../exit-code.ts';
import type { CommandContext } from '../session.ts';

function words(command: Command): { readonly commands: string[]; readonly flags: string[] } {
  return {
    commands: command.commands.map((sub) => sub.name()),
    flags: command.options
      .flatMap((option) => [option.long, option.short])
      .filter((flag) => flag !== undefined && flag !== null),
  };
}

function bashScript(program: Command): string {
  const cases = program.commands.map((command) => {
    const own = words(command);
    return `    ${command.name()}) words="${[...own.commands, ...own.flags, ...words(program).flags].join(' ')}" ;;`;
  });
  return `# bash completion for meltemi: source <(meltemi completion bash)
_meltemi() {
  local current=\${COMP_WORDS[COMP_CWORD]} command= word words
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in -*) ;; *) command=$word; break ;; esac
  done
  case $command in
${cases.join('\n')}
    *) words="${[...words(program).commands, ...words(program).flags].join(' ')}" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _meltemi meltemi
`;
}

function zshScript(program: Command): string {
  return `#compdef meltemi
# zsh completion for meltemi: source <(meltemi completion zsh)
autoload -U +X bashcompinit && bashcompinit
${bashScript(program)}`;
}

/** `meltemi completion`: prints a completion script for a shell. */
export function addCompletionCommand(program: Command, context: CommandContext): void {
  program
    .command('completion')
    .description('Print a completion script')
    .argument('<shell>', 'bash or zsh')
    .addHelpText(
      'after',
      '\nExamples:\n  source <(meltemi completion bash)\n  meltemi completion zsh > ~/.zfunc/_meltemi',
    )
    .action((shell: string) => {
      if (shell !== 'bash' && shell !== 'zsh')
        throw new CommandError(EXIT.usage, `Unknown shell "${shell}"; known are bash, zsh`);
      context.terminal.out(shell === 'bash' ? bashScript(program) : zshScript(program));
    });
}
