import { readFileSync } from 'node:fs';
import { messageOf } from '@meltemi/base';
import { isJsonMap, type Json, type JsonMap } from '@meltemi/control-plane';
import type { Command } from 'commander';
import { parseAllDocuments } from 'yaml';
import { collectFlag } from '../commands/manifest-flags.ts';
import { CommandError, EXIT } from '../exit-code.ts';
import type { ClusterFlags, CommandContext } from '../session.ts';
import { paint } from '../terminal.ts';
import { type InstallPlan, planInstallation } from './install-plan.ts';
import { readInstallSpec, type SpecSource } from './install-spec.ts';
import { PROFILES } from './profiles.ts';
import { parseSetFlag } from './set-flag.ts';

/** Flags by which all commands of an installation are told what it is. */
export interface InstallFlags extends ClusterFlags {
  readonly filename?: readonly string[];
  readonly set?: readonly string[];
  readonly revision?: string;
}

const MAX_ALIAS_COUNT = 100;

/** Adds the flags that say what is installed. */
export function addInstallFlags(command: Command): Command {
  return command
    .option('-f, --filename <file>', 'an IstioOperator, or - for standard input; may be repeated', collectFlag)
    .option(
      '-s, --set <path=value>',
      'one setting, such as profile=demo or values.global.network=n1; may be repeated',
      collectFlag,
    )
    .option('-r, --revision <name>', 'the revision of the control plane');
}

/** The profiles, for help texts. */
export function profilesHelp(): string {
  const lines = Object.entries(PROFILES).map(([name, { doc }]) => `  ${name.padEnd(9)}${doc}`);
  return `\nProfiles (--set profile=NAME):\n${lines.join('\n')}`;
}

/** What the flags ask for, rendered; its warnings are printed. @throws CommandError usage or unreadable. */
export async function readPlan(context: CommandContext, flags: InstallFlags): Promise<InstallPlan> {
  const sources: SpecSource[] = [];
  for (const file of flags.filename ?? []) sources.push({ origin: file, spec: await readOperatorFile(context, file) });
  for (const flag of flags.set ?? []) sources.push({ origin: `--set ${flag}`, spec: parseSetFlag(flag) });
  if (flags.revision !== undefined) sources.push({ origin: '--revision', spec: { revision: flags.revision } });
  // The namespace of other commands' objects; of an installation it is the control plane's.
  if (flags.namespace !== undefined) sources.push({ origin: '--namespace', spec: { namespace: flags.namespace } });
  const plan = planInstallation(readInstallSpec(sources));
  for (const warning of plan.warnings) warn(context, warning);
  return plan;
}

/** Prints a warning. */
export function warn({ terminal }: CommandContext, message: string): void {
  terminal.err(`${paint(terminal, 'yellow', 'Warning')}: ${message}\n`);
}

async function readOperatorFile(context: CommandContext, file: string): Promise<JsonMap> {
  const unreadable = (what: string, cause?: unknown): CommandError =>
    new CommandError(EXIT.unreadable, `Cannot read ${file}: ${what}`, { cause });
  let text: string;
  try {
    text = file === '-' ? await readAll(context.terminal.stdin) : readFileSync(file, 'utf8');
  } catch (cause) {
    throw unreadable(messageOf(cause), cause);
  }
  const parsed = parseAllDocuments(text, { uniqueKeys: true });
  const documents = (Array.isArray(parsed) ? parsed : []).filter((document) => document.contents !== null);
  const error = documents.flatMap(({ errors }) => errors)[0];
  if (error !== undefined) throw unreadable(error.message.split('\n')[0] as string, error);
  if (documents.length !== 1) throw unreadable(`it needs one IstioOperator, and has ${documents.length} documents`);
  // YAML without tags of its own is JSON.
  const operator = documents[0]?.toJS({ maxAliasCount: MAX_ALIAS_COUNT }) as Json;
  if (!isJsonMap(operator) || operator['kind'] !== 'IstioOperator')
    throw unreadable('it is no IstioOperator: apiVersion install.istio.io/v1alpha1, kind IstioOperator, spec');
  const spec = operator['spec'] ?? {};
  if (!isJsonMap(spec)) throw unreadable('spec needs a map');
  return spec;
}

async function readAll(stream: AsyncIterable<unknown>): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
}
