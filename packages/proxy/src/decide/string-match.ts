import { assertNever } from '@meltemi/base/pure';
import { RE2JS } from 're2js';
import type { RuntimeStringMatcher } from '../config/runtime-config.ts';

/** A compiled comparison. */
export type TextPredicate = (text: string) => boolean;

/**
 * Compiles a string matcher once, at configuration time.
 *
 * @throws RE2JSSyntaxException when the pattern is not RE2; the compiler of resources refuses those earlier.
 */
export function compileStringMatcher(matcher: RuntimeStringMatcher): TextPredicate {
  if (matcher.kind === 'regex') {
    const pattern = RE2JS.compile(matcher.regex);
    return (text) => pattern.testExact(text);
  }
  const { kind, ignoreCase } = matcher;
  const wanted = ignoreCase ? matcher.value.toLowerCase() : matcher.value;
  const compare = comparison(kind, wanted);
  return ignoreCase ? (text) => compare(text.toLowerCase()) : compare;
}

function comparison(kind: 'exact' | 'prefix' | 'suffix' | 'contains', wanted: string): TextPredicate {
  switch (kind) {
    case 'exact':
      return (text) => text === wanted;
    case 'prefix':
      return (text) => text.startsWith(wanted);
    case 'suffix':
      return (text) => text.endsWith(wanted);
    case 'contains':
      return (text) => text.includes(wanted);
    default:
      return assertNever(kind, 'string matcher');
  }
}

/**
 * Compiles a replacement in Envoy's spelling, where `\1` is a group, `\0` the whole match and `\\` a backslash.
 *
 * @returns A function that replaces every match.
 */
export function compileRegexRewrite(regex: string, substitution: string): (text: string) => string {
  const pattern = RE2JS.compile(regex);
  const pieces = substitution.split(/(\\[0-9\\])/);
  const replacement = (...groups: readonly unknown[]): string =>
    pieces
      .map((piece) => {
        if (piece.length !== 2 || piece[0] !== '\\') return piece;
        if (piece === '\\\\') return '\\';
        const group = Number(piece[1]);
        // Behind the groups come the offset and the text.
        return group < groups.length - 2 ? String(groups[group] ?? '') : '';
      })
      .join('');
  return (text) => pattern.matcher(text).replaceAll(replacement);
}
