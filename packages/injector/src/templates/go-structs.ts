import { FIELD, type StructValue, type TemplateValue } from '../go-template/index.ts';

type Json = Readonly<Record<string, unknown>>;

/** Makes the value of a field of what the JSON has, which may be `undefined`. */
export type FieldType = (value: unknown) => TemplateValue;

/** Fields of a struct by their names in Go, with what they are. */
export type StructFields = Readonly<Record<string, FieldType>>;

/** A field of text. */
export const TEXT: FieldType = (value) => (typeof value === 'string' ? value : '');
/** A field of an integer type. */
export const INTEGER: FieldType = (value) => (typeof value === 'number' ? BigInt(Math.trunc(value)) : 0n);
/** A field that is true or false. */
export const FLAG: FieldType = (value) => value === true;
/** A field of type `map[string]string`. */
export const TEXT_MAP: FieldType = (value) =>
  new Map(Object.entries(isJson(value) ? value : {}).map(([key, member]) => [key, String(member)]));
/** A field of any shape: its members are reached by the names they have in JSON, or those of Go. */
export const ANY: FieldType = toGo;

/** A pointer to a number or flag: nil when it is not there; `GetValue` gives the zero value then. */
export function wrapped(type: FieldType): FieldType {
  return (value) => {
    const inner = type(value);
    return {
      [FIELD]: (name) => (name === 'GetValue' || name === 'Value' ? inner : undefined),
      isNil: value === undefined || value === null,
      toJSON: () => value ?? null,
    } satisfies StructValue;
  };
}

/** An enumeration, which prints as its name. @param zero The name that counts when none is given. */
export function enumeration(zero: string): FieldType {
  return (value) => {
    const name = typeof value === 'string' && value !== '' ? value : zero;
    return { [FIELD]: (field) => (field === 'String' ? name : undefined), toJSON: () => name } satisfies StructValue;
  };
}

/** A field of a list. */
export function listOf(type: FieldType): FieldType {
  return (value) => (Array.isArray(value) ? value.map(type) : []);
}

/**
 * A struct over JSON. Fields that its type lists have their zero value when they are not there; others are looked up as
 * Go's decoder does, whatever the case of their letters. `GetX` is `X`, as generated code has it.
 */
export function struct(fields: StructFields): (value: unknown) => StructValue {
  return (value) => {
    const json = isJson(value) ? value : {};
    return {
      [FIELD]: (name) => readField(json, fields, name) ?? readField(json, fields, name.replace(/^Get(?=[A-Z])/, '')),
      isNil: value === undefined || value === null,
      toJSON: () => json,
    };
  };
}

function readField(json: Json, fields: StructFields, name: string): TemplateValue {
  const wanted = name.toLowerCase();
  const key = Object.keys(json).find((candidate) => candidate.toLowerCase() === wanted);
  const value = key === undefined ? undefined : json[key];
  const type = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (type !== undefined) return type(value);
  return value === undefined ? undefined : toGo(value);
}

/** JSON as structs: objects are asked by field names, integers are integers. */
function toGo(value: unknown): TemplateValue {
  if (Array.isArray(value)) return value.map(toGo);
  if (typeof value === 'number' && Number.isInteger(value)) return BigInt(value);
  return isJson(value) ? struct({})(value) : (value ?? null);
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
