import { ValueError } from './template-error.ts';
import { isMap, type TemplateValue, typeName } from './values.ts';

/** What a function can do besides computing. */
export interface CallContext {
  /** Counts work, and ends the evaluation when there is too much of it. @param steps About one for each value visited. */
  readonly spend: (steps: number) => void;
  /** The longest text that a function may make. */
  readonly maxLength: number;
  /** Evaluates a template by name. */
  readonly include: (name: string, data: TemplateValue) => string;
}

/** What an argument must be. `map` and `list` are of any kind; `any` may be nil. */
export type ArgumentType = 'any' | 'string' | 'int' | 'float' | 'bool' | 'list' | 'map';

/** A function that templates can call. */
export interface TemplateFunction {
  readonly parameters: readonly ArgumentType[];
  /** Type of further arguments; absent when there must be none. */
  readonly rest?: ArgumentType;
  /** The arguments have been checked. What is thrown as {@link ValueError} is shown with the place in the template. */
  readonly call: (context: CallContext, ...values: never[]) => TemplateValue;
}

/** Functions by name. */
export type FunctionTable = ReadonlyMap<string, TemplateFunction>;

/** Describes a function: types of its arguments, separated by spaces; the last may begin with `...`. */
export function define(
  signature: string,
  call: (context: CallContext, ...values: never[]) => TemplateValue,
): TemplateFunction {
  const types = signature === '' ? [] : signature.split(' ');
  const last = types.at(-1);
  const isVariadic = last?.startsWith('...') === true;
  const parameters = (isVariadic ? types.slice(0, -1) : types) as readonly ArgumentType[];
  return { parameters, call, ...(isVariadic ? { rest: last.slice(3) as ArgumentType } : {}) };
}

/**
 * Checks arguments as Go does when a function is called.
 *
 * @throws ValueError naming what was expected.
 */
export function checkArguments(name: string, { parameters, rest }: TemplateFunction, values: TemplateValue[]): void {
  const isEnough = rest === undefined ? values.length === parameters.length : values.length >= parameters.length;
  if (!isEnough) {
    const wanted = `${rest === undefined ? '' : 'at least '}${parameters.length}`;
    throw new ValueError(`wrong number of args for ${name}: want ${wanted} got ${values.length}`);
  }
  values.forEach((value, index) => {
    values[index] = checkArgument(parameters[index] ?? rest ?? 'any', value);
  });
}

function checkArgument(type: ArgumentType, value: TemplateValue): TemplateValue {
  // An integer constant is good as a float.
  if (type === 'float' && typeof value === 'bigint') return Number(value);
  if (type === 'any') return value === undefined ? null : value;
  if (value === undefined) throw new ValueError(`invalid value; expected ${type}`);
  const isGood =
    type === 'list'
      ? Array.isArray(value)
      : type === 'map'
        ? isMap(value)
        : type === 'int'
          ? typeof value === 'bigint'
          : typeof value === (type === 'float' ? 'number' : type === 'bool' ? 'boolean' : 'string');
  if (!isGood) throw new ValueError(`wrong type for value; expected ${type}; got ${typeName(value)}`);
  return value;
}
