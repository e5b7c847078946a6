import { messageOf } from '@meltemi/base';
import { RE2JS } from 're2js';

/** Says what is wrong with an RE2 regular expression; `undefined` when nothing is. */
export function checkRe2(pattern: string): string | undefined {
  try {
    RE2JS.compile(pattern);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
