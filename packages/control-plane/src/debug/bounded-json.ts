import { err, ok, type Result } from '@meltemi/base';

/** What a number or a word takes at most, or nearly so. */
const PRIMITIVE_LENGTH = 8;

/** Ends the making of a text in the middle, which only an exception does. */
const TOO_LONG = Symbol('too long');

/**
 * Makes indented JSON of a value, and stops early when it becomes too long.
 *
 * @param maxLength Characters.
 */
export function formatBoundedJson(value: unknown, maxLength: number): Result<string> {
  let length = 0;
  const count = (key: string, member: unknown): unknown => {
    length += key.length + (typeof member === 'string' ? member.length : PRIMITIVE_LENGTH);
    if (length > maxLength) throw TOO_LONG;
    return member;
  };
  try {
    const text = `${JSON.stringify(value, count, 2)}\n`;
    return text.length > maxLength ? tooLong(maxLength) : ok(text);
  } catch (error) {
    if (error === TOO_LONG) return tooLong(maxLength);
    throw error;
  }
}

function tooLong(maxLength: number): Result<never> {
  return err(`the answer has more than ${maxLength} characters; ask for less, as with ?namespace=<name>`);
}
