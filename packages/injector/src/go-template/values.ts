import { ValueError } from './template-error.ts';

/**
 * Values of templates, as Go has them:
 *
 * | Go | here |
 * | --- | --- |
 * | no value, as of a key that is not there | `undefined` |
 * | nil | `null` |
 * | bool, string | the same |
 * | integers | `bigint` |
 * | float64, as all numbers of decoded JSON | `number` |
 * | slice | array |
 * | map[string]any | object without prototype of its own |
 * | map[string]string | `Map` |
 * | struct | {@link StructValue} |
 */
export type TemplateValue = unknown;

/** Under this name a value gives its fields, as a struct of Go does. */
export const FIELD: unique symbol = Symbol('field');

/** A value whose fields are asked for by name. It counts as true, unless it is a nil pointer. */
export interface StructValue {
  /** @returns The field's value, or what a method without arguments returns; `undefined` when there is no such field. */
  readonly [FIELD]: (name: string) => TemplateValue;
  /** Whether this is a pointer to nothing, which counts as false but has its methods. Default: no. */
  readonly isNil?: boolean;
  /** The value as JSON, for functions that write it. */
  toJSON(): unknown;
}

/** Whether a value is a struct. */
export function isStruct(value: TemplateValue): value is StructValue {
  return typeof value === 'object' && value !== null && FIELD in value;
}

/** Whether a value is a map of any kind. */
export function isMap(value: TemplateValue): value is Readonly<Record<string, unknown>> | ReadonlyMap<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isStruct(value);
}

/** Keys and values of a map, sorted by key as Go's templates visit them. */
export function sortedEntries(map: object): readonly (readonly [string, unknown])[] {
  const entries = map instanceof Map ? [...(map as Map<string, unknown>)] : Object.entries(map);
  return entries.toSorted(([left], [right]) => compareText(left, right));
}

/** Compares by code points: UTF-8 order, which is Go's. */
export function compareText(left: string, right: string): number {
  if (left === right) return 0;
  const [a, b] = [Array.from(left), Array.from(right)];
  for (let index = 0; index < Math.min(a.length, b.length); index++) {
    const difference = (a[index]?.codePointAt(0) ?? 0) - (b[index]?.codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** The value under a key; `undefined` when the key is not there. */
export function lookUp(map: object, key: string): TemplateValue {
  if (map instanceof Map) return (map as Map<string, unknown>).get(key);
  return Object.hasOwn(map, key) ? (map as Readonly<Record<string, unknown>>)[key] : undefined;
}

/** Whether a value counts as true in a condition: not false, zero, nil or empty. */
export function isTrue(value: TemplateValue): boolean {
  switch (typeof value) {
    case 'undefined':
      return false;
    case 'boolean':
      return value;
    case 'string':
      return value !== '';
    case 'bigint':
      return value !== 0n;
    case 'number':
      return value !== 0;
    case 'object':
      if (value === null) return false;
      if (Array.isArray(value)) return value.length > 0;
      return isStruct(value) ? value.isNil !== true : sizeOf(value) > 0;
    default:
      return true;
  }
}

function sizeOf(map: object): number {
  return map instanceof Map ? map.size : Object.keys(map).length;
}

/** Number of items, keys or bytes. */
export function lengthOf(value: TemplateValue): bigint {
  if (typeof value === 'string') return BigInt(utf8Length(value));
  if (Array.isArray(value)) return BigInt(value.length);
  if (isMap(value)) return BigInt(sizeOf(value));
  throw new ValueError(`len of type ${typeName(value)}`);
}

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** The type of a value by its name in Go, for errors and `printf "%T"`. */
export function typeName(value: TemplateValue): string {
  switch (typeof value) {
    case 'undefined':
      return 'nil';
    case 'boolean':
      return 'bool';
    case 'string':
      return 'string';
    case 'bigint':
      return 'int';
    case 'number':
      return 'float64';
    case 'object':
      if (value === null) return 'nil';
      if (Array.isArray(value)) return '[]interface {}';
      if (isStruct(value)) return 'struct';
      return value instanceof Map ? 'map[string]string' : 'map[string]interface {}';
    default:
      return typeof value;
  }
}

/**
 * What one walk through a value may visit: characters and members. Lists that share their parts can be written to far
 * more text than they have members.
 */
const MAX_VISITS = 2_000_000;

/** Counts the visits of one walk. */
interface Budget {
  left: number;
}

function visit(budget: Budget, cost: number): void {
  budget.left -= cost;
  if (budget.left < 0) throw new ValueError('the value is too large to be written');
}

/** A value as `{{ . }}` prints it inside other values, which is Go's `%v`. */
export function formatValue(value: TemplateValue): string {
  return format(value, { left: MAX_VISITS });
}

function format(value: TemplateValue, budget: Budget): string {
  visit(budget, typeof value === 'string' ? value.length + 1 : 1);
  switch (typeof value) {
    case 'string':
      return value;
    case 'boolean':
    case 'bigint':
      return String(value);
    case 'number':
      return formatFloat(value);
    case 'object':
      if (value === null) return '<nil>';
      if (Array.isArray(value)) return `[${value.map((item) => format(item, budget)).join(' ')}]`;
      if (isStruct(value)) return formatStruct(value, budget);
      return `map[${sortedEntries(value)
        .map(([key, member]) => `${key}:${format(member, budget)}`)
        .join(' ')}]`;
    default:
      return '<nil>';
  }
}

/** Fields that are set: Go would print every field of the type, which is not known here. */
function formatStruct(value: StructValue, budget: Budget): string {
  const json = value.toJSON();
  if (typeof json !== 'object' || json === null) return format(json, budget);
  return `{${Object.values(json)
    .map((member) => format(member, budget))
    .join(' ')}}`;
}

/** A value as an action prints it: what is not there shows as such, and so does nil outside of lists and maps. */
export function printValue(value: TemplateValue): string {
  return value === undefined || value === null ? '<no value>' : formatValue(value);
}

/** From this exponent on, and below -4, Go writes a float with an exponent: 1e+06 for a million. */
const MAX_PLAIN_EXPONENT = 6;

/** A float64 in the shortest form that means the same, as Go's `%v` writes it. */
export function formatFloat(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  if (Object.is(value, -0)) return '-0';
  const [mantissa = '', exponentText = '0'] = value.toExponential().split('e');
  const exponent = Number(exponentText);
  if (value === 0 || (exponent >= -4 && exponent < MAX_PLAIN_EXPONENT)) return String(value);
  return `${mantissa}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
}

/** A whole number of anything that sprig's functions take for one; 0 for what is none. */
export function toInteger(value: TemplateValue): bigint {
  switch (typeof value) {
    case 'bigint':
      return value;
    case 'number':
      return Number.isFinite(value) ? BigInt(Math.trunc(value)) : 0n;
    case 'boolean':
      return value ? 1n : 0n;
    case 'string':
      return /^[+-]?\d+$/.test(value.trim()) ? BigInt(value.trim().replace(/^\+/, '')) : 0n;
    default:
      return 0n;
  }
}

/** A float of anything that sprig's functions take for one; 0 for what is none. */
export function toFloat(value: TemplateValue): number {
  if (typeof value === 'number') return value;
  if (typeof value === 'string') return Number(value) || 0;
  return Number(toInteger(value));
}

/** A value as plain JSON: integers become numbers, maps objects with sorted members. */
export function toJson(value: TemplateValue): unknown {
  return convert(value, { left: MAX_VISITS });
}

function convert(value: TemplateValue, budget: Budget): unknown {
  visit(budget, typeof value === 'string' ? value.length + 1 : 1);
  if (typeof value === 'bigint') return Number(value);
  if (value === undefined) return null;
  if (Array.isArray(value)) return value.map((item) => convert(item, budget));
  if (isStruct(value)) return convert(value.toJSON(), budget);
  if (!isMap(value)) return value;
  return Object.fromEntries(sortedEntries(value).map(([key, member]) => [key, convert(member, budget)]));
}

/** How much work a value is for a function that looks at all of it, without what is nested in it. */
export function sizeInSteps(value: TemplateValue): number {
  if (typeof value === 'string') return value.length >>> 6;
  if (Array.isArray(value)) return value.length;
  return isMap(value) ? sizeOf(value) : 0;
}
