import { fieldsOf, type MessageTable } from './message.ts';

/**
 * Fills in the defaults of a message, and those of nested messages that have a default themselves.
 *
 * @param value A value without errors; it is not changed.
 */
export function withDefaults(table: MessageTable, message: string, value: object): object {
  // The caller has checked the value against the message.
  const given = value as Readonly<Record<string, unknown>>;
  const completed: Record<string, unknown> = { ...given };
  for (const field of fieldsOf(table, message)) {
    if (field.default === undefined) continue;
    const member = given[field.name];
    if (field.shape.shape === 'message') {
      const own = { ...(field.default as object), ...(member as object | undefined) };
      completed[field.name] = withDefaults(table, field.shape.message, own);
    } else if (member === undefined) {
      completed[field.name] = field.default;
    }
  }
  return completed;
}
