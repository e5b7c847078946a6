import { type CallContext, define, type TemplateFunction } from '../functions.ts';
import { ValueError } from '../template-error.ts';
import {
  compareText,
  formatValue,
  isMap,
  isTrue,
  lookUp,
  sortedEntries,
  type TemplateValue,
  toJson,
} from '../values.ts';
import { toText } from './text-functions.ts';

type List = readonly TemplateValue[];
type Dictionary = Record<string, TemplateValue>;
type Spend = CallContext['spend'];

/** The longest list that a function makes by itself. */
const MAX_LIST = 100_000;

/** Text of every item; what is not a list counts as one item. */
function toTexts(value: TemplateValue): readonly string[] {
  if (value === null || value === undefined) return [];
  return Array.isArray(value) ? value.filter((item) => item !== null).map(toText) : [toText(value)];
}

function sameValue(left: TemplateValue, right: TemplateValue): boolean {
  if (typeof left !== 'object' || left === null) return left === right;
  return typeof left === typeof right && JSON.stringify(toJson(left)) === JSON.stringify(toJson(right));
}

/** Pairs of keys and values; a key without a value has an empty one. */
function toDictionary(values: List): Dictionary {
  const dictionary: Dictionary = {};
  for (let index = 0; index < values.length; index += 2) {
    setMember(dictionary, toText(values[index]), index + 1 < values.length ? values[index + 1] : '');
  }
  return dictionary;
}

/** A key such as `__proto__` is a key like any other. */
function setMember(target: object, key: string, value: TemplateValue): void {
  if (target instanceof Map) target.set(key, value);
  else Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
}

function filterKeys(map: object, isKept: (key: string) => boolean): Dictionary {
  return toDictionary(sortedEntries(map).flatMap(([key, value]) => (isKept(key) ? [key, value] : [])));
}

/** Fills in what the target lacks, deeply; `wins` says that the sources' values replace its own. */
function merge(target: object, sources: readonly object[], { spend, wins }: { spend: Spend; wins: boolean }): object {
  for (const source of sources) {
    for (const [key, value] of sortedEntries(source)) {
      spend(1);
      const own = lookUp(target, key);
      if (isMap(own) && isMap(value)) merge(own, [value], { spend, wins });
      else if (wins ? isTrue(value) : !isTrue(own)) setMember(target, key, value);
    }
  }
  return target;
}

function copy(value: TemplateValue, spend: Spend): TemplateValue {
  spend(1);
  if (Array.isArray(value)) return value.map((item) => copy(item, spend));
  if (!isMap(value)) return value;
  return toDictionary(sortedEntries(value).flatMap(([key, member]) => [key, copy(member, spend)]));
}

function count(start: bigint, end: bigint, step: bigint): List {
  if (step === 0n || (end - start) / step > BigInt(MAX_LIST)) {
    throw new ValueError(`the list would have more than ${MAX_LIST} items`);
  }
  const list: bigint[] = [];
  for (let value = start; step > 0n ? value < end : value > end; value += step) list.push(value);
  return list;
}

function unique(list: List, spend: Spend): List {
  // Every item is compared with those before it.
  spend((list.length * list.length) / 2);
  return list.filter((value, index) => list.findIndex((other) => sameValue(other, value)) === index);
}

function dig(values: List): TemplateValue {
  if (values.length < 3) throw new ValueError('dig needs at least three arguments');
  const [fallback, map] = values.slice(-2);
  let value: TemplateValue = map;
  for (const key of values.slice(0, -2)) {
    const member = isMap(value) ? lookUp(value, String(key)) : undefined;
    if (member === undefined) return fallback;
    value = member;
  }
  return value;
}

/** Functions of sprig about lists and maps. */
export const COLLECTION_FUNCTIONS: readonly (readonly [string, TemplateFunction])[] = [
  ['list', define('...any', (_context, ...values: TemplateValue[]) => values)],
  ['tuple', define('...any', (_context, ...values: TemplateValue[]) => values)],
  ['append', define('list any', (_context, list: List, value: TemplateValue) => [...list, value])],
  ['push', define('list any', (_context, list: List, value: TemplateValue) => [...list, value])],
  ['prepend', define('list any', (_context, list: List, value: TemplateValue) => [value, ...list])],
  ['concat', define('...list', (_context, ...lists: List[]) => lists.flat(1))],
  ['first', define('list', (_context, list: List) => (list.length === 0 ? null : list[0]))],
  ['last', define('list', (_context, list: List) => (list.length === 0 ? null : list.at(-1)))],
  ['rest', define('list', (_context, list: List) => list.slice(1))],
  ['initial', define('list', (_context, list: List) => list.slice(0, -1))],
  ['reverse', define('list', (_context, list: List) => list.toReversed())],
  ['uniq', define('list', ({ spend }, list: List) => unique(list, spend))],
  ['compact', define('list', (_context, list: List) => list.filter(isTrue))],
  [
    'without',
    define('list ...any', ({ spend }, list: List, ...values: TemplateValue[]) => {
      spend(list.length * values.length);
      return list.filter((item) => !values.some((value) => sameValue(item, value)));
    }),
  ],
  [
    'has',
    define(
      'any any',
      (_context, value: TemplateValue, list: TemplateValue) =>
        Array.isArray(list) && list.some((item) => sameValue(item, value)),
    ),
  ],
  ['sortAlpha', define('any', (_context, value: TemplateValue) => toTexts(value).toSorted(compareText))],
  ['join', define('string any', (_context, separator: string, value: TemplateValue) => toTexts(value).join(separator))],
  [
    'splitList',
    define('string string', (_context, separator: string, text: string) =>
      separator === '' ? Array.from(text) : text.split(separator),
    ),
  ],
  [
    'split',
    define('string string', (_context, separator: string, text: string) =>
      toDictionary(
        (separator === '' ? Array.from(text) : text.split(separator)).flatMap((part, index) => [`_${index}`, part]),
      ),
    ),
  ],
  ['until', define('int', (_context, end: bigint) => count(0n, end, end < 0n ? -1n : 1n))],
  ['untilStep', define('int int int', (_context, start: bigint, end: bigint, step: bigint) => count(start, end, step))],
  ['dict', define('...any', (_context, ...values: TemplateValue[]) => toDictionary(values))],
  ['get', define('map string', (_context, map: object, key: string) => lookUp(map, key) ?? '')],
  [
    'set',
    define(
      'map string any',
      (_context, map: object, key: string, value: TemplateValue) => (setMember(map, key, value), map),
    ),
  ],
  [
    'unset',
    define(
      'map string',
      (_context, map: object, key: string) => (
        map instanceof Map ? map.delete(key) : delete (map as Dictionary)[key], map
      ),
    ),
  ],
  ['hasKey', define('map string', (_context, map: object, key: string) => lookUp(map, key) !== undefined)],
  [
    'keys',
    define('...map', (_context, ...maps: object[]) => maps.flatMap((map) => sortedEntries(map).map(([key]) => key))),
  ],
  ['values', define('map', (_context, map: object) => sortedEntries(map).map(([, value]) => value))],
  [
    'pick',
    define('map ...string', (_context, map: object, ...keys: string[]) => filterKeys(map, (key) => keys.includes(key))),
  ],
  [
    'omit',
    define('map ...string', (_context, map: object, ...keys: string[]) =>
      filterKeys(map, (key) => !keys.includes(key)),
    ),
  ],
  [
    'merge',
    define('map ...map', ({ spend }, map: object, ...sources: object[]) => merge(map, sources, { spend, wins: false })),
  ],
  [
    'mergeOverwrite',
    define('map ...map', ({ spend }, map: object, ...sources: object[]) => merge(map, sources, { spend, wins: true })),
  ],
  ['deepCopy', define('any', ({ spend }, value: TemplateValue) => copy(value, spend))],
  ['dig', define('...any', (_context, ...values: TemplateValue[]) => dig(values))],
  ['toStrings', define('any', (_context, value: TemplateValue) => toTexts(value))],
  [
    'default',
    define('any ...any', (_context, fallback: TemplateValue, ...values: TemplateValue[]) =>
      values.length > 0 && isTrue(values[0]) ? values[0] : fallback,
    ),
  ],
  ['empty', define('any', (_context, value: TemplateValue) => !isTrue(value))],
  ['coalesce', define('...any', (_context, ...values: TemplateValue[]) => values.find(isTrue) ?? null)],
  ['all', define('...any', (_context, ...values: TemplateValue[]) => values.every(isTrue))],
  ['any', define('...any', (_context, ...values: TemplateValue[]) => values.some(isTrue))],
  ['fail', define('string', (_context, message: string) => refuse(message))],
  [
    'required',
    define('string any', (_context, message: string, value: TemplateValue) =>
      value === null || value === '' ? refuse(message) : value,
    ),
  ],
];

function refuse(message: string): never {
  throw new ValueError(message);
}

/** How sprig names what kind a value is of. */
export function kindOf(value: TemplateValue): string {
  if (value === null || value === undefined) return 'invalid';
  if (Array.isArray(value)) return 'slice';
  if (isMap(value)) return 'map';
  const kinds: Readonly<Record<string, string>> = {
    boolean: 'bool',
    string: 'string',
    bigint: 'int',
    number: 'float64',
  };
  return kinds[typeof value] ?? 'struct';
}

/** Text that stands for a value in JSON, as Go's encoder writes it. */
export function toGoJson(value: TemplateValue, indent?: number): string {
  return JSON.stringify(toJson(value), undefined, indent).replaceAll(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Functions of sprig about types, and JSON. */
export const TYPE_FUNCTIONS: readonly (readonly [string, TemplateFunction])[] = [
  ['kindOf', define('any', (_context, value: TemplateValue) => kindOf(value))],
  ['kindIs', define('string any', (_context, kind: string, value: TemplateValue) => kindOf(value) === kind)],
  ['typeOf', define('any', (_context, value: TemplateValue) => (value === null ? '<nil>' : typeOfValue(value)))],
  ['typeIs', define('string any', (_context, type: string, value: TemplateValue) => typeOfValue(value) === type)],
  ['toJson', define('any', (_context, value: TemplateValue) => toGoJson(value))],
  ['toPrettyJson', define('any', (_context, value: TemplateValue) => toGoJson(value, 2))],
  ['fromJson', define('string', (_context, text: string) => parseJson(text))],
];

function typeOfValue(value: TemplateValue): string {
  const kind = kindOf(value);
  if (kind === 'slice') return '[]interface {}';
  if (kind === 'map') return value instanceof Map ? 'map[string]string' : 'map[string]interface {}';
  return kind === 'invalid' ? formatValue(value) : kind;
}

/** Parsed JSON; as in sprig, what is none is nothing. */
function parseJson(text: string): TemplateValue {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
