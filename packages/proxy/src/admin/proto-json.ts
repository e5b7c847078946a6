import {
  create,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  type MessageShape,
  toJson,
} from '@bufbuild/protobuf';
import { type Any, AnySchema } from '@bufbuild/protobuf/wkt';
import { typeRegistry } from '../bootstrap/type-registry.ts';

const REDACTED = '[redacted]';
const REDACTED_BYTES: string = Buffer.from(REDACTED).toString('base64');

/** Members that hold key material, wherever they stand. */
const SENSITIVE: ReadonlySet<string> = new Set([
  'private_key',
  'password',
  'pkcs12',
  'session_ticket_keys',
  'generic_secret',
]);

function redactSource(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(redactSource);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => {
      if (key === 'inline_bytes') return [key, REDACTED_BYTES];
      if (key === 'inline_string') return [key, REDACTED];
      return [key, redactSource(member)];
    }),
  );
}

function redact(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(redact);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [key, SENSITIVE.has(key) ? redactSource(member) : redact(member)]),
  );
}

/** A message in Envoy's JSON (`snake_case`), with key material blanked. */
export function messageJson<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): JsonValue {
  return redact(toJson(schema, message, { registry: typeRegistry, useProtoFieldName: true }));
}

/** An encoded resource in JSON with its `@type`. A type that cannot be shown is shown as what it is called. */
export function anyJson(typeUrl: string, value: Uint8Array): JsonObject {
  const any: Any = create(AnySchema, { typeUrl, value });
  try {
    // The JSON of an Any is an object by definition.
    return messageJson(AnySchema, any) as JsonObject;
  } catch {
    return { '@type': typeUrl };
  }
}
