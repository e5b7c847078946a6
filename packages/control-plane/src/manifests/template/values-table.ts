import type { OpenApiSchema } from '@meltemi/api';
import { nearestName } from '@meltemi/base';

/** What a value may be. `scalar-map` has texts, numbers and booleans as its members. */
export type ValueType =
  | 'string'
  | 'integer'
  | 'boolean'
  | 'int-or-string'
  | 'string-map'
  | 'scalar-map'
  | 'map'
  | 'string-list'
  | 'list';

/** One value of a chart. */
export interface ValueDefinition {
  readonly type: ValueType;
  readonly default: Json;
  /** For `values.yaml`: what it does. */
  readonly doc: string;
  /** The only texts that are accepted. */
  readonly oneOf?: readonly string[];
  /** A regular expression, in the subset that JSON schema and JavaScript share, which the text must match. */
  readonly pattern?: string;
  readonly minimum?: number;
}

/** All values of a chart by their dotted paths, in the order of `values.yaml`. Everything else is refused. */
export type ValuesTable = Readonly<Record<string, ValueDefinition>>;

/** A JSON value. */
export type Json = string | number | boolean | null | readonly Json[] | JsonMap;
/** A JSON object. */
export interface JsonMap {
  readonly [name: string]: Json;
}

/** Whether a JSON value is an object. */
export function isJsonMap(json: Json | undefined): json is JsonMap {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}

/** A value's schema; more than structural schemas know. */
interface JsonSchema extends Omit<OpenApiSchema, 'type' | 'properties' | 'items' | 'additionalProperties'> {
  readonly $schema?: string;
  readonly type?: string | readonly string[];
  readonly pattern?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
  readonly additionalProperties?: JsonSchema | boolean;
}

/** The values that hold where nothing is set. */
export function defaultsOf(table: ValuesTable): JsonMap {
  const root: Record<string, Json> = {};
  for (const [path, definition] of Object.entries(table)) setAt(root, path.split('.'), definition.default);
  return root;
}

function setAt(root: Record<string, Json>, path: readonly string[], json: Json): void {
  let map = root;
  for (const name of path.slice(0, -1)) map = (map[name] ??= {}) as Record<string, Json>;
  map[path.at(-1) as string] = json;
}

/** The value at a dotted path. */
export function valueAt(values: JsonMap, path: string): Json | undefined {
  let current: Json | undefined = values;
  for (const name of path.split('.')) current = isJsonMap(current) ? current[name] : undefined;
  return current;
}

/** One set of values over another, as Helm does it: maps member by member, `null` removes, all else replaces. */
export function overlay(below: JsonMap, above: JsonMap): JsonMap {
  const result: Record<string, Json> = { ...below };
  for (const [name, json] of Object.entries(above)) {
    const present = result[name];
    if (json === null) delete result[name];
    else result[name] = isJsonMap(json) && isJsonMap(present) ? overlay(present, json) : json;
  }
  return result;
}

/**
 * Checks values against a table.
 *
 * @returns One sentence per fault, naming the value's path.
 */
export function checkValues(table: ValuesTable, values: JsonMap): readonly string[] {
  const faults: string[] = [];
  const groups = new Set(Object.keys(table).flatMap((path) => parentsOf(path)));
  const walk = (map: JsonMap, prefix: string): void => {
    for (const [name, json] of Object.entries(map)) {
      const path = prefix === '' ? name : `${prefix}.${name}`;
      const definition = table[path];
      if (definition !== undefined) {
        const fault = faultOf(definition, json);
        if (fault !== undefined) faults.push(`${path}: ${fault}`);
      } else if (!groups.has(path)) {
        const near = nearestName(path, [...Object.keys(table), ...groups]);
        faults.push(`${path}: there is no such value${near === undefined ? '' : `; did you mean ${near}?`}`);
      } else if (isJsonMap(json)) walk(json, path);
      else if (json !== null) faults.push(`${path}: needs a map`);
    }
  };
  walk(values, '');
  return faults;
}

function parentsOf(path: string): readonly string[] {
  const names = path.split('.');
  return names.slice(1).map((_, index) => names.slice(0, index + 1).join('.'));
}

function faultOf({ type, oneOf, pattern, minimum }: ValueDefinition, json: Json): string | undefined {
  // As in Helm, null takes the default away.
  if (json === null) return undefined;
  if (!hasType(type, json)) return `needs ${NAMES[type]}, not ${JSON.stringify(json)}`;
  if (oneOf !== undefined && !oneOf.includes(String(json)))
    return `needs ${oneOf.map((word) => `"${word}"`).join(', ')}, not "${String(json)}"`;
  if (pattern !== undefined && !new RegExp(pattern).test(String(json)))
    return `"${String(json)}" does not match ${pattern}`;
  if (minimum !== undefined && Number(json) < minimum) return `needs at least ${minimum}, not ${String(json)}`;
  return undefined;
}

const NAMES: Readonly<Record<ValueType, string>> = {
  string: 'a text',
  integer: 'a whole number',
  boolean: 'true or false',
  'int-or-string': 'a whole number or a text',
  'string-map': 'a map of texts',
  'scalar-map': 'a map of texts, numbers and booleans',
  map: 'a map',
  'string-list': 'a list of texts',
  list: 'a list',
};

function hasType(type: ValueType, json: Json): boolean {
  const isScalar = (item: Json): boolean => ['string', 'number', 'boolean'].includes(typeof item);
  switch (type) {
    case 'string':
      return typeof json === 'string';
    case 'integer':
      return Number.isInteger(json);
    case 'boolean':
      return typeof json === 'boolean';
    case 'int-or-string':
      return typeof json === 'string' || Number.isInteger(json);
    case 'string-map':
      return isJsonMap(json) && Object.values(json).every((item) => typeof item === 'string');
    case 'scalar-map':
      return isJsonMap(json) && Object.values(json).every(isScalar);
    case 'map':
      return isJsonMap(json);
    case 'string-list':
      return Array.isArray(json) && json.every((item) => typeof item === 'string');
    case 'list':
      return Array.isArray(json);
  }
}

/** The JSON schema by which Helm checks values: what the table does not know is refused. */
export function toValuesSchema(table: ValuesTable): object {
  interface Group {
    readonly type: 'object';
    readonly additionalProperties: false;
    readonly properties: Record<string, JsonSchema | Group>;
  }
  const group = (): Group => ({ type: 'object', additionalProperties: false, properties: {} });
  const root = group();
  for (const [path, definition] of Object.entries(table)) {
    const names = path.split('.');
    let at = root;
    for (const name of names.slice(0, -1)) at = (at.properties[name] ??= group()) as Group;
    at.properties[names.at(-1) as string] = schemaOf(definition);
  }
  // Helm passes `global` down to every chart, used or not.
  root.properties['global'] ??= { type: 'object' };
  return { $schema: 'http://json-schema.org/draft-07/schema#', ...root };
}

function schemaOf({ type, doc, oneOf, pattern, minimum }: ValueDefinition): JsonSchema {
  return {
    ...TYPE_SCHEMAS[type],
    description: doc,
    ...(oneOf === undefined ? {} : { enum: oneOf }),
    ...(pattern === undefined ? {} : { pattern }),
    ...(minimum === undefined ? {} : { minimum }),
  };
}

const TYPE_SCHEMAS: Readonly<Record<ValueType, JsonSchema>> = {
  string: { type: 'string' },
  integer: { type: 'integer' },
  boolean: { type: 'boolean' },
  'int-or-string': { type: ['integer', 'string'] },
  'string-map': { type: 'object', additionalProperties: { type: 'string' } },
  'scalar-map': { type: 'object', additionalProperties: { type: ['string', 'number', 'boolean'] } },
  map: { type: 'object' },
  'string-list': { type: 'array', items: { type: 'string' } },
  list: { type: 'array' },
};
