import type { Command } from 'commander';
import { collectFlag } from '../commands/manifest-flags.ts';
import type { ClusterFlags, CommandContext } from '../session.ts';
import { paint } from '../terminal.ts';
import { PROFILES } from './profiles.ts';

/** Flags by which all commands of an installation are told what it is. */
export interface InstallFlags extends ClusterFlags {
  readonly filename?: readonly string[];
  readonly set?: readonly string[];
  readonly revision?: string;
  readonly legacyValues?: string;
}

/** Adds the flags that say what is installed. */
export function addInstallFlags(command: Command): Command {
  return command
    .option('-f, --filename <file>', 'an IstioOperator, or - for standard input; may be repeated', collectFlag)
    .option(
      '-s, --set <path=value>',
      'one setting, such as profile=demo or values.global.network=n1; may be repeated',
      collectFlag,
    )
    .option('-r, --revision <name>', 'the revision of the control plane')
    .option(
      '--legacy-values <file>',
      'values of a chart of Istio 1.0 to 1.4, translated; the other flags go over them',
    );
}

/** The profiles, for help texts. */
export function profilesHelp(): string {
  const lines = Object.entries(PROFILES).map(([name, { doc }]) => `  ${name.padEnd(9)}${doc}`);
  return `\nProfiles (--set profile=NAME):\n${lines.join('\n')}`;
}

/** Prints a warning. */
export function warn({ terminal }: CommandContext, message: string): void {
  terminal.err(`${paint(terminal, 'yellow', 'Warning')}: ${message}\n`);
}
