import { invalid, StatusError } from '../errors.ts';
import { applyDefaults } from '../kinds/apply-defaults.ts';
import { apiVersionOf, type ResourceType } from '../kinds/resource-type.ts';
import { validateObject } from '../kinds/validate-object.ts';
import { isJsonObject, type JsonObject, setMemberAt } from '../objects/json-value.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { kubernetesFields } from '../schema/field-table.ts';
import { checkFields, type FieldFindings, type FieldSuggestions } from '../schema/strict-fields.ts';
import { applySchemaDefaults, pruneUnknown, validateSchema } from '../schema/structural-schema.ts';

/** What to do about unknown fields: refuse, warn, or drop them silently. */
export type FieldValidation = 'Strict' | 'Warn' | 'Ignore';

/** Reads the query's wish, which has been checked; kubectl sends one, other clients rarely do. */
export function fieldValidationOf(query: URLSearchParams): FieldValidation {
  const value = query.get('fieldValidation') ?? '';
  if (value === 'Strict' || value === 'Warn' || value === 'Ignore') return value;
  return 'Warn';
}

/** The JSON members that metadata may have, with their shapes, apply to custom kinds too. */
function checkMetadata(object: JsonObject): FieldFindings {
  const found = checkFields(kubernetesFields(), 'meta.ObjectMeta', object['metadata'] ?? {});
  const at = (text: string): string => `metadata.${text}`;
  const suggestions = new Map([...found.suggestions].map(([path, near]) => [at(path), near]));
  return { unknown: found.unknown.map(at), mistyped: found.mistyped.map(at), suggestions };
}

/**
 * Turns a decoded body into an object of its kind: right kind, known fields, right types.
 *
 * @param warn Told about unknown fields when they are not refused.
 * @throws StatusError `BadRequest` for another kind, a wrong type, or (Strict) an unknown field.
 */
export function decodeObject(
  type: ResourceType,
  body: JsonObject,
  validation: FieldValidation,
  warn: (text: string) => void,
): KubeObject {
  const apiVersion = apiVersionOf(type);
  body['apiVersion'] ??= apiVersion;
  body['kind'] ??= type.kind;
  if (body['apiVersion'] !== apiVersion || body['kind'] !== type.kind)
    throw new StatusError(
      'BadRequest',
      `the body is a ${String(body['kind'])} (${String(body['apiVersion'])}), the path wants a ${type.kind} (${apiVersion})`,
    );
  body['metadata'] ??= {};
  if (!isJsonObject(body['metadata'])) throw new StatusError('BadRequest', 'metadata must be an object');
  const { unknown, mistyped, suggestions } =
    type.fields !== undefined ? checkFields(kubernetesFields(), type.fields, body) : checkMetadata(body);
  if (mistyped.length > 0)
    throw new StatusError(
      'BadRequest',
      `${type.kind} in version "${type.version}" cannot be handled as a ${type.kind}: ${mistyped.join('; ')}`,
    );
  if (type.schema !== undefined) {
    const { apiVersion: _version, kind: _kind, metadata: _metadata, ...content } = body;
    const removed = pruneUnknown(content, type.schema, '', suggestions);
    unknown.push(...removed);
    for (const name of Object.keys(body))
      if (!['apiVersion', 'kind', 'metadata'].includes(name) && !(name in content)) delete body[name];
  }
  reportUnknown(unknown, suggestions, validation, warn);
  // Its kind and the shape of its metadata were checked above; names and times are filled in by the writer.
  return body as KubeObject;
}

function reportUnknown(
  unknown: readonly string[],
  suggestions: FieldSuggestions,
  validation: FieldValidation,
  warn: (text: string) => void,
): void {
  if (unknown.length === 0 || validation === 'Ignore') return;
  const texts = unknown.map((path) => {
    const near = suggestions.get(path);
    return `unknown field "${path}"${near === undefined ? '' : `; did you mean "${near}"?`}`;
  });
  if (validation === 'Strict') throw new StatusError('BadRequest', `strict decoding error: ${texts.join(', ')}`);
  for (const text of texts) warn(text);
}

/** Fills in what the user left out, in place. */
export function defaultObject(type: ResourceType, object: KubeObject): void {
  if (type.schema !== undefined) applySchemaDefaults(object, type.schema);
  else applyDefaults(type, object);
}

/**
 * Checks a complete object.
 *
 * @param old The stored state, for fields that must not change.
 * @throws StatusError `Invalid` with every finding.
 */
export function checkObject(type: ResourceType, object: KubeObject, old: KubeObject | undefined): void {
  const causes = validateObject(type, object, old);
  if (type.schema !== undefined) {
    const content: JsonObject = { ...object };
    setMemberAt(content, ['metadata'], { name: object.metadata.name });
    causes.push(...validateSchema(content, type.schema));
  }
  if (causes.length > 0) throw invalid(type, object.metadata.name ?? object.metadata.generateName ?? '', causes);
}
