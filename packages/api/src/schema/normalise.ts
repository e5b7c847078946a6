import { type FieldShape, fieldsOf, type MessageTable } from './message.ts';

/**
 * Brings a value into the one form that the rest of the code reads: `snake_case` names, which protobuf's JSON form
 * also accepts, become the camelCase names of the message, and members that are null are left out.
 *
 * Whatever does not fit the message is kept as it is, for the check to report.
 */
export function normaliseMessage(table: MessageTable, message: string, value: unknown): unknown {
  if (!isRecord(value)) return value;
  const shapes = new Map(fieldsOf(table, message).map((field) => [field.name, field.shape]));
  const normalised: Record<string, unknown> = {};
  for (const [key, member] of Object.entries(value)) {
    if (member === null) continue;
    const camel = camelCaseOf(key);
    const name = !shapes.has(key) && shapes.has(camel) && value[camel] === undefined ? camel : key;
    const shape = shapes.get(name);
    normalised[name] = shape === undefined ? member : normaliseShape(table, shape, member);
  }
  return normalised;
}

function normaliseShape(table: MessageTable, shape: FieldShape, value: unknown): unknown {
  if (shape.shape === 'message') return normaliseMessage(table, shape.message, value);
  if (shape.shape === 'list' && Array.isArray(value)) {
    return value.map((item) => normaliseShape(table, shape.item, item));
  }
  if (shape.shape === 'map' && isRecord(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, normaliseShape(table, shape.item, item)]),
    );
  }
  return value;
}

function camelCaseOf(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_match, letter: string) => letter.toUpperCase());
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
