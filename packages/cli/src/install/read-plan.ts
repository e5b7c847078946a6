import { readFileSync } from 'node:fs';
import { messageOf } from '@meltemi/base';
import { isJsonMap, type Json, type JsonMap, SYSTEM_NAMESPACE, translateLegacyValues } from '@meltemi/control-plane';
import { parseAllDocuments } from 'yaml';
import { CommandError, EXIT } from '../exit-code.ts';
import type { CommandContext } from '../session.ts';
import { type InstallFlags, warn } from './install-flags.ts';
import { type InstallPlan, planInstallation } from './install-plan.ts';
import { readInstallSpec, type SpecSource } from './install-spec.ts';
import { parseSetFlag } from './set-flag.ts';

const MAX_ALIAS_COUNT = 100;

/** What the flags ask for, rendered; its warnings are printed. @throws CommandError usage or unreadable. */
export async function readPlan(context: CommandContext, flags: InstallFlags): Promise<InstallPlan> {
  const sources: SpecSource[] = [];
  const legacyValues = await readLegacyValues(context, flags);
  if (legacyValues !== undefined) {
    // Neither depends on the namespace, which only all sources together tell.
    const { isRemote, values } = translateLegacyValues(legacyValues, SYSTEM_NAMESPACE);
    const profile = isRemote ? { profile: 'remote' } : {};
    sources.push({ origin: flags.legacyValues ?? '', spec: { ...profile, values } });
  }
  for (const file of flags.filename ?? [])
    sources.push({ origin: file === '-' ? 'stdin' : file, spec: await readOperatorFile(context, file) });
  for (const flag of flags.set ?? []) sources.push({ origin: `--set ${flag}`, spec: parseSetFlag(flag) });
  if (flags.revision !== undefined) sources.push({ origin: '--revision', spec: { revision: flags.revision } });
  // The namespace of other commands' objects; of an installation it is the control plane's.
  if (flags.namespace !== undefined) sources.push({ origin: '--namespace', spec: { namespace: flags.namespace } });
  const spec = readInstallSpec(sources);
  const legacy = legacyValues === undefined ? undefined : translateLegacyValues(legacyValues, spec.namespace);
  const plan = planInstallation(spec, legacy?.objects);
  for (const warning of [...(legacy?.warnings ?? []), ...plan.warnings]) warn(context, warning);
  return plan;
}

async function readLegacyValues(context: CommandContext, flags: InstallFlags): Promise<JsonMap | undefined> {
  if (flags.legacyValues === undefined) return undefined;
  const values = await readDocument(context, flags.legacyValues);
  if (!isJsonMap(values)) throw unreadable(flags.legacyValues, 'it needs a map of values');
  return values;
}

async function readOperatorFile(context: CommandContext, file: string): Promise<JsonMap> {
  const operator = await readDocument(context, file);
  if (!isJsonMap(operator) || operator['kind'] !== 'IstioOperator')
    throw unreadable(file, 'it is no IstioOperator: apiVersion install.istio.io/v1alpha1, kind IstioOperator, spec');
  const spec = operator['spec'] ?? {};
  if (!isJsonMap(spec)) throw unreadable(file, 'spec needs a map');
  return spec;
}

function unreadable(file: string, what: string, cause?: unknown): CommandError {
  return new CommandError(EXIT.unreadable, `Cannot read ${file === '-' ? 'stdin' : file}: ${what}`, { cause });
}

/** The only YAML document of a file. */
async function readDocument(context: CommandContext, file: string): Promise<Json> {
  let text: string;
  try {
    text = file === '-' ? await readAll(context.terminal.stdin) : readFileSync(file, 'utf8');
  } catch (cause) {
    throw unreadable(file, messageOf(cause), cause);
  }
  const parsed = parseAllDocuments(text, { uniqueKeys: true });
  const documents = (Array.isArray(parsed) ? parsed : []).filter((document) => document.contents !== null);
  const error = documents.flatMap(({ errors }) => errors)[0];
  // Its first line says what and where; the others quote the text.
  if (error !== undefined) throw unreadable(file, (error.message.split('\n')[0] as string).replace(/:$/, ''));
  if (documents.length !== 1) throw unreadable(file, `it needs one document, and has ${documents.length}`);
  // YAML without tags of its own is JSON.
  return documents[0]?.toJS({ maxAliasCount: MAX_ALIAS_COUNT }) as Json;
}

async function readAll(stream: AsyncIterable<unknown>): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
}
