import type { DescField, DescMessage, Registry } from '@bufbuild/protobuf';

/** A place in a document that the schema does not have. */
export interface UnknownField {
  /** `static_resources.listeners[0].nmae`. */
  readonly path: string;
  readonly message: string;
}

/** Well-known types whose JSON is not that of their fields. */
const SPECIAL_JSON: ReadonlySet<string> = new Set([
  'google.protobuf.Duration',
  'google.protobuf.Timestamp',
  'google.protobuf.FieldMask',
  'google.protobuf.Struct',
  'google.protobuf.Value',
  'google.protobuf.ListValue',
  'google.protobuf.BoolValue',
  'google.protobuf.BytesValue',
  'google.protobuf.DoubleValue',
  'google.protobuf.FloatValue',
  'google.protobuf.Int32Value',
  'google.protobuf.Int64Value',
  'google.protobuf.StringValue',
  'google.protobuf.UInt32Value',
  'google.protobuf.UInt64Value',
]);

type JsonMap = Readonly<Record<string, unknown>>;

function isMap(value: unknown): value is JsonMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Finds the members of a document that its schema does not know. protobuf's own JSON reader stops at the first one and
 * does not say where it stands; an operator needs the place.
 *
 * @param document Parsed JSON or YAML; member names in either spelling (`snake_case`, `camelCase`).
 */
export function findUnknownFields(schema: DescMessage, document: unknown, registry: Registry): UnknownField[] {
  const found: UnknownField[] = [];
  visitMessage(schema, document, '', { registry, found });
  return found;
}

interface Visit {
  readonly registry: Registry;
  readonly found: UnknownField[];
}

function visitMessage(schema: DescMessage, value: unknown, path: string, visit: Visit): void {
  if (!isMap(value)) return;
  if (schema.typeName === 'google.protobuf.Any') {
    visitAny(value, path, visit);
    return;
  }
  if (SPECIAL_JSON.has(schema.typeName)) return;
  for (const [key, member] of Object.entries(value)) {
    const field = schema.fields.find(({ name, jsonName }) => name === key || jsonName === key);
    const place = path === '' ? key : `${path}.${key}`;
    if (field === undefined) visit.found.push({ path: place, message: `${schema.typeName} has no such field` });
    else visitField(field, member, place, visit);
  }
}

function visitAny(value: JsonMap, path: string, visit: Visit): void {
  const url = value['@type'];
  if (typeof url !== 'string') {
    if (Object.keys(value).length > 0) visit.found.push({ path, message: '"@type" is missing' });
    return;
  }
  const schema = visit.registry.getMessage(url.slice(url.lastIndexOf('/') + 1));
  if (schema === undefined) {
    visit.found.push({ path, message: `unsupported type ${url.slice(url.lastIndexOf('/') + 1)}` });
    return;
  }
  const { '@type': _, ...members } = value;
  visitMessage(schema, SPECIAL_JSON.has(schema.typeName) ? value['value'] : members, path, visit);
}

function visitField(field: DescField, value: unknown, path: string, visit: Visit): void {
  if (field.fieldKind === 'message') visitMessage(field.message, value, path, visit);
  else if (field.fieldKind === 'list' && field.listKind === 'message' && Array.isArray(value)) {
    for (const [index, item] of value.entries()) visitMessage(field.message, item, `${path}[${index}]`, visit);
  } else if (field.fieldKind === 'map' && field.mapKind === 'message' && isMap(value)) {
    for (const [key, item] of Object.entries(value)) visitMessage(field.message, item, `${path}["${key}"]`, visit);
  }
}
