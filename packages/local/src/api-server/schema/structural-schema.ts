import { nearestName } from '@meltemi/base';
import { RE2JS } from 're2js';
import type { StatusCause } from '../errors.ts';
import { isJsonObject, type JsonObject, jsonEquals } from '../objects/json-value.ts';
import type { FieldSuggestions } from './strict-fields.ts';

/** The part of OpenAPI that CustomResourceDefinitions may use, as far as it is enforced here. CEL rules are not. */
export interface StructuralSchema {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  readonly description?: string;
  readonly format?: string;
  readonly properties?: Readonly<Record<string, StructuralSchema>>;
  readonly additionalProperties?: boolean | StructuralSchema;
  readonly items?: StructuralSchema;
  readonly required?: readonly string[];
  readonly default?: unknown;
  readonly nullable?: boolean;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: boolean;
  readonly exclusiveMaximum?: boolean;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly oneOf?: readonly StructuralSchema[];
  readonly anyOf?: readonly StructuralSchema[];
  readonly allOf?: readonly StructuralSchema[];
  readonly not?: StructuralSchema;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-int-or-string'?: boolean;
  readonly 'x-kubernetes-embedded-resource'?: boolean;
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-map-type'?: 'atomic' | 'granular';
}

function propertySchema(schema: StructuralSchema, name: string): StructuralSchema | undefined {
  const own = schema.properties?.[name];
  if (own !== undefined) return own;
  const extra = schema.additionalProperties;
  if (extra === true) return { 'x-kubernetes-preserve-unknown-fields': true };
  return typeof extra === 'object' ? extra : undefined;
}

/** Adds the members that the schema gives a default, in place; only where their parent object is there. */
export function applySchemaDefaults(value: unknown, schema: StructuralSchema): void {
  if (Array.isArray(value)) {
    if (schema.items !== undefined) for (const item of value) applySchemaDefaults(item, schema.items);
    return;
  }
  if (!isJsonObject(value)) return;
  for (const [name, property] of Object.entries(schema.properties ?? {}))
    if (
      value[name] === undefined ||
      (value[name] === null && property.nullable !== true && property.default !== undefined)
    )
      if (property.default !== undefined) value[name] = structuredClone(property.default);
  for (const [name, member] of Object.entries(value)) {
    const property = propertySchema(schema, name);
    if (property !== undefined) applySchemaDefaults(member, property);
  }
}

/**
 * Removes members that the schema does not know, in place.
 *
 * @param suggestions Takes up, by path, the known name that is nearest.
 * @returns Paths of what was removed, such as `spec.hosts[0].foo`.
 */
export function pruneUnknown(
  value: unknown,
  schema: StructuralSchema,
  path = '',
  suggestions: FieldSuggestions = new Map(),
): string[] {
  if (Array.isArray(value))
    return schema.items === undefined
      ? []
      : value.flatMap((item, index) =>
          pruneUnknown(item, schema.items as StructuralSchema, `${path}[${index}]`, suggestions),
        );
  if (!isJsonObject(value)) return [];
  const removed: string[] = [];
  const keepsUnknown = schema['x-kubernetes-preserve-unknown-fields'] === true;
  const isEmbedded = schema['x-kubernetes-embedded-resource'] === true;
  for (const [name, member] of Object.entries(value)) {
    const memberPath = path === '' ? name : `${path}.${name}`;
    const property = propertySchema(schema, name);
    if (property !== undefined) removed.push(...pruneUnknown(member, property, memberPath, suggestions));
    else if (!keepsUnknown && !(isEmbedded && ['apiVersion', 'kind', 'metadata'].includes(name))) {
      delete value[name];
      removed.push(memberPath);
      const near = nearestName(name, Object.keys(schema.properties ?? {}));
      if (near !== undefined) suggestions.set(memberPath, near);
    }
  }
  return removed;
}

function typeNameOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

function hasType(value: unknown, schema: StructuralSchema): boolean {
  if (schema['x-kubernetes-int-or-string'] === true) return typeof value === 'string' || Number.isInteger(value);
  const actual = typeNameOf(value);
  return schema.type === undefined || actual === schema.type || (schema.type === 'number' && actual === 'integer');
}

function shown(value: unknown): string {
  return typeof value === 'object' ? '' : `${JSON.stringify(value)}: `;
}

const patterns = new Map<string, RE2JS | undefined>();

/** Compiled once per text: a definition's patterns are few and meet every object of its kind. */
function compiledPattern(pattern: string): RE2JS | undefined {
  if (!patterns.has(pattern)) {
    let compiled: RE2JS | undefined;
    try {
      compiled = RE2JS.compile(pattern);
    } catch {
      // A pattern outside RE2 cannot be enforced; it then allows everything, as an absent one would.
    }
    patterns.set(pattern, compiled);
  }
  return patterns.get(pattern);
}

function validateScalar(
  value: unknown,
  schema: StructuralSchema,
  refuse: (reason: string, message: string) => void,
): void {
  const bad = (message: string): void => refuse('FieldValueInvalid', `Invalid value: ${shown(value)}${message}`);
  if (schema.enum !== undefined && !schema.enum.some((item) => jsonEquals(item, value)))
    refuse(
      'FieldValueNotSupported',
      `Unsupported value: ${JSON.stringify(value)}: supported values: ${schema.enum.map((item) => JSON.stringify(item)).join(', ')}`,
    );
  if (typeof value === 'string') {
    if (schema.minLength !== undefined && Array.from(value).length < schema.minLength)
      bad(`should be at least ${schema.minLength} chars long`);
    if (schema.maxLength !== undefined && Array.from(value).length > schema.maxLength)
      bad(`may not be more than ${schema.maxLength} characters`);
    if (schema.pattern !== undefined && compiledPattern(schema.pattern)?.matcher(value).find() === false)
      bad(`should match '${schema.pattern}'`);
    if (schema.format === 'date-time' && Number.isNaN(Date.parse(value))) bad('must be a date and time');
  }
  if (typeof value === 'number') {
    const { minimum, maximum } = schema;
    if (minimum !== undefined && (schema.exclusiveMinimum === true ? value <= minimum : value < minimum))
      bad(`should be greater than ${schema.exclusiveMinimum === true ? '' : 'or equal to '}${minimum}`);
    if (maximum !== undefined && (schema.exclusiveMaximum === true ? value >= maximum : value > maximum))
      bad(`should be less than ${schema.exclusiveMaximum === true ? '' : 'or equal to '}${maximum}`);
    if (schema.format === 'int32' && (value > 2 ** 31 - 1 || value < -(2 ** 31))) bad('must fit into 32 bits');
  }
}

/** Checks a value against a schema and tells everything that is wrong, with field paths. */
export function validateSchema(value: unknown, schema: StructuralSchema, path = ''): StatusCause[] {
  const causes: StatusCause[] = [];
  const field = path === '' ? '<nil>' : path;
  const refuse = (reason: string, message: string): void => void causes.push({ reason, field, message });
  if (value === null && schema.nullable === true) return causes;
  if (!hasType(value, schema)) {
    refuse(
      'FieldValueTypeInvalid',
      `Invalid value: ${JSON.stringify(typeNameOf(value))}: ${field} must be of type ${schema.type ?? 'integer or string'}: ${JSON.stringify(typeNameOf(value))}`,
    );
    return causes;
  }
  validateScalar(value, schema, refuse);
  if (Array.isArray(value)) causes.push(...validateItems(value, schema, path));
  else if (isJsonObject(value)) causes.push(...validateMembers(value, schema, path));
  for (const part of schema.allOf ?? []) causes.push(...validateSchema(value, part, path));
  const fits = (part: StructuralSchema): boolean => validateSchema(value, part, path).length === 0;
  if (schema.anyOf !== undefined && !schema.anyOf.some(fits))
    refuse('FieldValueInvalid', `Invalid value: ${shown(value)}must validate at least one schema (anyOf)`);
  if (schema.oneOf !== undefined && schema.oneOf.filter(fits).length !== 1)
    refuse('FieldValueInvalid', `Invalid value: ${shown(value)}must validate one and only one schema (oneOf)`);
  if (schema.not !== undefined && fits(schema.not))
    refuse('FieldValueInvalid', `Invalid value: ${shown(value)}must not validate the schema (not)`);
  return causes;
}

function validateItems(value: readonly unknown[], schema: StructuralSchema, path: string): StatusCause[] {
  const causes: StatusCause[] = [];
  const refuse = (reason: string, message: string, at = path): void => void causes.push({ reason, field: at, message });
  if (schema.minItems !== undefined && value.length < schema.minItems)
    refuse('FieldValueInvalid', `Invalid value: ${value.length}: should have at least ${schema.minItems} items`);
  if (schema.maxItems !== undefined && value.length > schema.maxItems)
    refuse('FieldValueTooMany', `Too many: ${value.length}: must have at most ${schema.maxItems} items`);
  const keys = schema['x-kubernetes-list-map-keys'];
  const isSet = schema.uniqueItems === true || schema['x-kubernetes-list-type'] === 'set' || keys !== undefined;
  const seen = new Set<string>();
  for (const [index, item] of value.entries()) {
    if (schema.items !== undefined) causes.push(...validateSchema(item, schema.items, `${path}[${index}]`));
    if (!isSet) continue;
    const identity = JSON.stringify(keys === undefined ? item : keys.map((key) => (item as JsonObject | null)?.[key]));
    if (seen.has(identity))
      refuse('FieldValueDuplicate', `Duplicate value: ${JSON.stringify(item)}`, `${path}[${index}]`);
    seen.add(identity);
  }
  return causes;
}

function validateMembers(value: JsonObject, schema: StructuralSchema, path: string): StatusCause[] {
  const causes: StatusCause[] = [];
  const at = (name: string): string => (path === '' ? name : `${path}.${name}`);
  for (const name of schema.required ?? [])
    if (value[name] === undefined)
      causes.push({ reason: 'FieldValueRequired', field: at(name), message: 'Required value' });
  const count = Object.keys(value).length;
  if (schema.minProperties !== undefined && count < schema.minProperties)
    causes.push({
      reason: 'FieldValueInvalid',
      field: path,
      message: `Invalid value: ${count}: should have at least ${schema.minProperties} properties`,
    });
  if (schema.maxProperties !== undefined && count > schema.maxProperties)
    causes.push({
      reason: 'FieldValueTooMany',
      field: path,
      message: `Too many: ${count}: must have at most ${schema.maxProperties} properties`,
    });
  for (const [name, member] of Object.entries(value)) {
    const property = propertySchema(schema, name);
    if (property !== undefined && member !== undefined) causes.push(...validateSchema(member, property, at(name)));
  }
  return causes;
}
