import { define, type FunctionTable, type TemplateFunction } from './functions.ts';
import { formatPrintf, joinPrinted } from './printf.ts';
import { ValueError } from './template-error.ts';
import {
  compareText,
  isMap,
  isStruct,
  isTrue,
  lengthOf,
  lookUp,
  printValue,
  type TemplateValue,
  typeName,
} from './values.ts';

/** Decides by `-1`, `0` or `1` as of a sort. */
type Decide = (order: number) => boolean;

/** Kinds of values that can be compared by size. */
function basicKind(value: TemplateValue): 'bool' | 'string' | 'int' | 'float' | undefined {
  switch (typeof value) {
    case 'boolean':
      return 'bool';
    case 'string':
      return 'string';
    case 'bigint':
      return 'int';
    case 'number':
      return 'float';
    default:
      return undefined;
  }
}

/** Whether two values are equal. Maps and lists cannot be compared, nor values of different kinds. */
function isEqual(left: TemplateValue, right: TemplateValue): boolean {
  const [a, b] = [left ?? null, right ?? null];
  const kinds = [basicKind(a), basicKind(b)];
  if (kinds[0] === kinds[1] && kinds[0] !== undefined) return a === b;
  // Nothing equals nothing, and no value.
  if (a === null || b === null) return a === b;
  if (kinds[0] !== kinds[1]) throw new ValueError('incompatible types for comparison');
  if (isStruct(a) && isStruct(b)) return a === b;
  throw new ValueError(`non-comparable type ${typeName(a)}`);
}

function order(left: TemplateValue, right: TemplateValue): number {
  const kinds = [basicKind(left), basicKind(right)];
  if (kinds[0] === undefined || kinds[1] === undefined) throw new ValueError('invalid type for comparison');
  if (kinds[0] !== kinds[1]) throw new ValueError('incompatible types for comparison');
  if (kinds[0] === 'bool') throw new ValueError('invalid type for comparison');
  if (kinds[0] === 'string') return compareText(left as string, right as string);
  const [a, b] = [left as number | bigint, right as number | bigint];
  return a < b ? -1 : a > b ? 1 : 0;
}

function compare(decide: Decide): TemplateFunction {
  return define('any any', (_context, left: TemplateValue, right: TemplateValue) => decide(order(left, right)));
}

function indexInto(value: TemplateValue, key: TemplateValue): TemplateValue {
  if (value === undefined || value === null) throw new ValueError('index of untyped nil');
  if (isMap(value)) {
    if (typeof key !== 'string') throw new ValueError(`value has type ${typeName(key)}; should be string`);
    const member = lookUp(value, key);
    return member === undefined ? (value instanceof Map ? '' : null) : member;
  }
  if (typeof value !== 'string' && !Array.isArray(value))
    throw new ValueError(`can't index item of type ${typeName(value)}`);
  const position = toPosition(key);
  const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : undefined;
  const length = bytes?.length ?? value.length;
  if (position < 0 || position >= length) throw new ValueError(`index out of range: ${position}`);
  return bytes === undefined ? value[position] : BigInt(bytes[position] ?? 0);
}

function toPosition(key: TemplateValue): number {
  if (typeof key !== 'bigint') throw new ValueError(`cannot index slice/array with type ${typeName(key)}`);
  return Number(key);
}

function sliceOf(value: TemplateValue, bounds: readonly TemplateValue[]): TemplateValue {
  if (typeof value !== 'string' && !Array.isArray(value)) {
    throw new ValueError(value === null ? 'slice of untyped nil' : `can't slice item of type ${typeName(value)}`);
  }
  if (bounds.length > 2) throw new ValueError(`too many slice indexes: ${bounds.length}`);
  const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : undefined;
  const length = bytes?.length ?? value.length;
  const [start = 0, end = length] = bounds.map(toPosition);
  if (start < 0 || end > length) throw new ValueError(`index out of range: ${start < 0 ? start : end}`);
  if (start > end) throw new ValueError(`invalid slice index: ${start} > ${end}`);
  return bytes === undefined ? value.slice(start, end) : new TextDecoder().decode(bytes.subarray(start, end));
}

const HTML: Readonly<Record<string, string>> = {
  '"': '&#34;',
  "'": '&#39;',
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '\0': '\uFFFD',
};
const JS: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  "'": "\\'",
  '"': '\\"',
  '<': '\\u003C',
  '>': '\\u003E',
  '&': '\\u0026',
  '=': '\\u003D',
};

function escapeJs(text: string): string {
  return text.replaceAll(/[\\'"<>&=]|(?![\x7f-\x9f])\p{Cc}/gu, (char) => {
    const code = char.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0');
    return JS[char] ?? `\\u${code}`;
  });
}

/** Go's QueryEscape: everything but letters, digits and `-_.~`, with `+` for a space. */
function escapeQuery(text: string): string {
  return encodeURIComponent(text)
    .replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+');
}

/** One text of all values, in which nothing shows as an action would show it. */
function asText(values: readonly TemplateValue[]): string {
  return joinPrinted(values.map((value) => (value === null || value === undefined ? printValue(value) : value)));
}

/** The functions that Go's templates have by themselves. `and` and `or` are the evaluator's, but have names here. */
export const BUILTIN_FUNCTIONS: FunctionTable = new Map<string, TemplateFunction>([
  ['and', define('...any', () => undefined)],
  ['or', define('...any', () => undefined)],
  ['not', define('any', (_context, value: TemplateValue) => !isTrue(value))],
  ['len', define('any', (_context, value: TemplateValue) => lengthOf(value === null ? undefined : value))],
  [
    'index',
    define('any ...any', (_context, value: TemplateValue, ...keys: TemplateValue[]) => {
      if (value === null || value === undefined) throw new ValueError('index of untyped nil');
      return keys.reduce(indexInto, value);
    }),
  ],
  [
    'slice',
    define('any ...any', (_context, value: TemplateValue, ...bounds: TemplateValue[]) => sliceOf(value, bounds)),
  ],
  ['print', define('...any', (_context, ...values: TemplateValue[]) => joinPrinted(values))],
  [
    'println',
    define(
      '...any',
      (_context, ...values: TemplateValue[]) => `${values.map((value) => joinPrinted([value])).join(' ')}\n`,
    ),
  ],
  [
    'printf',
    define('string ...any', (context, format: string, ...values: TemplateValue[]) =>
      formatPrintf(format, values, context.maxLength),
    ),
  ],
  [
    'eq',
    define('any any ...any', (_context, first: TemplateValue, ...others: TemplateValue[]) =>
      others.some((other) => isEqual(first, other)),
    ),
  ],
  ['ne', define('any any', (_context, left: TemplateValue, right: TemplateValue) => !isEqual(left, right))],
  ['lt', compare((sign) => sign < 0)],
  ['le', compare((sign) => sign <= 0)],
  ['gt', compare((sign) => sign > 0)],
  ['ge', compare((sign) => sign >= 0)],
  [
    'html',
    define('...any', (_context, ...values: TemplateValue[]) =>
      asText(values).replaceAll(/["'&<>\0]/g, (char) => HTML[char] ?? char),
    ),
  ],
  ['js', define('...any', (_context, ...values: TemplateValue[]) => escapeJs(asText(values)))],
  ['urlquery', define('...any', (_context, ...values: TemplateValue[]) => escapeQuery(asText(values)))],
]);
