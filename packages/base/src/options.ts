import { parseArgs } from 'node:util';
import { parseDurationMs } from './pure/duration.ts';
import { MeltemiError } from './pure/errors.ts';
import { nearestName } from './pure/nearest-name.ts';

/** One setting of a runnable package. The table of them is the source of parsing, `--help` and the reference page. */
export interface OptionSpec {
  /** Without the leading dashes. */
  readonly flag: string;
  /** Environment variable read when the flag is absent. */
  readonly env?: string;
  readonly type: 'string' | 'number' | 'boolean' | 'duration';
  /** As a user would write it; `undefined` makes the option optional, without a value. */
  readonly default?: string;
  readonly description: string;
}

/** All settings of a runnable package, by the name that the code uses. */
export type OptionTable = Readonly<Record<string, OptionSpec>>;

type ValueOf<Spec extends OptionSpec> = Spec['type'] extends 'boolean'
  ? boolean
  : Spec['type'] extends 'string'
    ? string
    : number;

/** The parsed settings: durations are milliseconds; an option without a default may be `undefined`. */
export type OptionValues<Table extends OptionTable> = {
  readonly [Name in keyof Table]: Table[Name] extends { readonly default: string }
    ? ValueOf<Table[Name]>
    : ValueOf<Table[Name]> | undefined;
};

function readValue(spec: OptionSpec, text: string, origin: string): string | number | boolean {
  if (spec.type === 'string') return text;
  if (spec.type === 'boolean') {
    if (text === 'true' || text === '1') return true;
    if (text === 'false' || text === '0' || text === '') return false;
    throw new MeltemiError('USAGE', `Cannot read ${origin}: "${text}" is not true or false`);
  }
  if (spec.type === 'duration') {
    const duration = parseDurationMs(text);
    if (!duration.ok) throw new MeltemiError('USAGE', `Cannot read ${origin}: ${duration.error}`);
    return duration.value;
  }
  const value = Number(text);
  if (text === '' || !Number.isFinite(value))
    throw new MeltemiError('USAGE', `Cannot read ${origin}: "${text}" is not a number`);
  return value;
}

/**
 * Reads settings from the command line, then the environment, then the defaults.
 *
 * @throws MeltemiError `USAGE` for an unknown flag (naming the nearest one) or a value of the wrong type.
 */
export function parseOptions<const Table extends OptionTable>(
  table: Table,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): { readonly values: OptionValues<Table>; readonly positionals: readonly string[] } {
  const specs = Object.values(table);
  const parsed = parseArgs({
    args: [...args],
    options: Object.fromEntries(
      specs.map((spec) => [spec.flag, { type: spec.type === 'boolean' ? ('boolean' as const) : ('string' as const) }]),
    ),
    strict: false,
    allowPositionals: true,
    allowNegative: true,
  });
  for (const flag of Object.keys(parsed.values)) {
    if (specs.some((spec) => spec.flag === flag)) continue;
    const near = nearestName(
      flag,
      specs.map((spec) => spec.flag),
    );
    throw new MeltemiError('USAGE', `Unknown flag --${flag}${near === undefined ? '' : `; did you mean --${near}?`}`);
  }
  const values: Record<string, string | number | boolean | undefined> = {};
  for (const [name, spec] of Object.entries(table)) {
    const given = parsed.values[spec.flag];
    const fromEnv = spec.env === undefined ? undefined : env[spec.env];
    if (typeof given === 'boolean') values[name] = given;
    else if (typeof given === 'string') values[name] = readValue(spec, given, `--${spec.flag}`);
    else if (fromEnv !== undefined) values[name] = readValue(spec, fromEnv, `the environment variable ${spec.env}`);
    else if (spec.default !== undefined) values[name] = readValue(spec, spec.default, `the default of --${spec.flag}`);
  }
  // Every name of the table was given a value of its declared type above.
  return { values: values as OptionValues<Table>, positionals: parsed.positionals };
}
