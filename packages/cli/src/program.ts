import { Command } from 'commander';
import { addAnalyzeCommand } from './commands/analyze.ts';
import { addApplyCommand } from './commands/apply.ts';
import { addCompletionCommand } from './commands/completion.ts';
import { addCreateRemoteSecretCommand } from './commands/create-remote-secret.ts';
import { addDeleteCommand } from './commands/delete.ts';
import { addDescribeCommand } from './commands/describe.ts';
import { addEventsCommand } from './commands/events.ts';
import { addExecCommand } from './commands/exec.ts';
import { addGetCommand } from './commands/get.ts';
import { addInstallCommand, addUpgradeCommand } from './commands/install.ts';
import { addKubeInjectCommand } from './commands/kube-inject.ts';
import { addLogsCommand } from './commands/logs.ts';
import { addManifestCommand } from './commands/manifest.ts';
import { addPrecheckCommand } from './commands/precheck.ts';
import { addProxyConfigCommand } from './commands/proxy-config.ts';
import { addProxyStatusCommand } from './commands/proxy-status.ts';
import { addRemoteClustersCommand } from './commands/remote-clusters.ts';
import { addTagCommand } from './commands/tag.ts';
import { addUninstallCommand } from './commands/uninstall.ts';
import { addUpCommand } from './commands/up.ts';
import { addVersionCommand } from './commands/version.ts';
import { addWaitCommand } from './commands/wait.ts';
import type { CommandContext } from './session.ts';
import { paint } from './terminal.ts';

/** Each command's faults point to its own help. */
function nameHelp(parent: Command, path: readonly string[] = []): void {
  for (const command of parent.commands) {
    const words = [...path, command.name()];
    if (words[0] !== 'exec') command.showHelpAfterError(`See "meltemi ${words.join(' ')} --help"`);
    nameHelp(command, words);
  }
}

/** The whole command line. A mistyped command or flag is answered with the nearest one. */
export function buildProgram(context: CommandContext): Command {
  const program = new Command('meltemi')
    .description('A service mesh: runs clusters on this machine, and looks into meshes anywhere')
    .option('--dir <folder>', 'the environment, when several run (or MELTEMI_DIR)')
    .option('--kubeconfig <file>', 'a kubeconfig instead of an environment')
    .option('--cluster <name>', 'the cluster, a context of the kubeconfig; default: its current context')
    .option('-n, --namespace <name>', "the namespace; default: the context's, or default")
    .showHelpAfterError('See "meltemi --help"')
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.terminal.out(text),
      writeErr: (text) => context.terminal.err(text),
      outputError: (text, write) =>
        write(
          text.replace(
            /^error: (.)/,
            (_, first: string) => `${paint(context.terminal, 'red', 'Error')}: ${first.toUpperCase()}`,
          ),
        ),
    })
    .addHelpText('after', '\nExamples:\n  meltemi up --walkthrough\n  meltemi proxy-status --dir .meltemi/walkthrough');
  for (const add of [
    addUpCommand,
    addGetCommand,
    addDescribeCommand,
    addLogsCommand,
    addEventsCommand,
    addExecCommand,
    addApplyCommand,
    addDeleteCommand,
    addWaitCommand,
    addInstallCommand,
    addUpgradeCommand,
    addUninstallCommand,
    addManifestCommand,
    addTagCommand,
    addPrecheckCommand,
    addAnalyzeCommand,
    addProxyStatusCommand,
    addProxyConfigCommand,
    addRemoteClustersCommand,
    addCreateRemoteSecretCommand,
    addKubeInjectCommand,
    addVersionCommand,
  ]) {
    add(program, context);
  }
  addCompletionCommand(program, context);
  nameHelp(program);
  return program;
}
