import type { Json, JsonMap } from '@meltemi/control-plane';
import { CommandError, EXIT } from '../exit-code.ts';

/**
 * Reads `--set path=value`: `values.global.network=n1`, `a.b[0].c=2`, `labels.app\.kubernetes\.io/name=x`.
 *
 * Numbers, `true`, `false` and `null` are taken as such, `{a,b}` as a list; `"2"` in quotes is a text.
 *
 * @throws CommandError usage.
 */
export function parseSetFlag(flag: string): JsonMap {
  const equals = flag.indexOf('=');
  const steps = equals < 0 ? [] : parsePath(flag.slice(0, equals));
  if (steps.length === 0)
    throw new CommandError(EXIT.usage, `--set: "${flag}" is not PATH=VALUE, such as values.global.network=network1`);
  return nest(steps, parseSetValue(flag.slice(equals + 1)), flag) as JsonMap;
}

type Step = string | number;

function parsePath(path: string): readonly Step[] {
  const steps: Step[] = [];
  for (const match of path.matchAll(/\[(\d+)\]|((?:\\.|[^.[\]\\])+)/g)) {
    if (match[1] !== undefined) steps.push(Number(match[1]));
    else steps.push((match[2] as string).replace(/\\(.)/g, '$1'));
  }
  return typeof steps[0] === 'number' ? [] : steps;
}

function parseSetValue(text: string): Json {
  if (text.startsWith('{') && text.endsWith('}')) {
    const inner = text.slice(1, -1).trim();
    return inner === '' ? [] : inner.split(',').map((item) => parseScalar(item.trim()));
  }
  return parseScalar(text);
}

function parseScalar(text: string): Json {
  if (text === 'true') return true;
  if (text === 'false') return false;
  if (text === 'null') return null;
  if (/^-?(?:0|[1-9]\d{0,14})$/.test(text)) return Number(text);
  const quoted = /^(["'])(.*)\1$/s.exec(text);
  return quoted === null ? text : (quoted[2] as string);
}

/** Lists are overlaid as a whole, so that only the first item can be set alone. */
function nest(steps: readonly Step[], json: Json, flag: string): Json {
  const [step, ...rest] = steps;
  if (step === undefined) return json;
  if (typeof step === 'string') return { [step]: nest(rest, json, flag) };
  if (step !== 0)
    throw new CommandError(EXIT.usage, `--set: "${flag}": lists are set as a whole: PATH={a,b}, or in a file with -f`);
  return [nest(rest, json, flag)];
}
