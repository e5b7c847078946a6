import type { StringMatch } from '@meltemi/api';
import type { RegexMatcherSchema } from '@meltemi/xds/types/envoy/type/matcher/v3/regex_pb.js';
import type { StringMatcherSchema } from '@meltemi/xds/types/envoy/type/matcher/v3/string_pb.js';
import type { Init } from '../protobuf-values.ts';

/** A regular expression that must cover the whole text. */
export function toRegexMatcher(regex: string): Init<typeof RegexMatcherSchema> {
  return { regex };
}

/** Whether a match asks only that something is there: no condition, or the expression `*`. */
export function isPresenceMatch(match: StringMatch): boolean {
  if (match.regex === '*') return true;
  return match.exact === undefined && match.prefix === undefined && match.regex === undefined;
}

/** Translates a comparison; `undefined` for one without a condition. */
export function toStringMatcher(match: StringMatch): Init<typeof StringMatcherSchema> | undefined {
  if (match.exact !== undefined) return { matchPattern: { case: 'exact', value: match.exact } };
  if (match.prefix !== undefined) return { matchPattern: { case: 'prefix', value: match.prefix } };
  if (match.regex !== undefined) return { matchPattern: { case: 'safeRegex', value: toRegexMatcher(match.regex) } };
  return undefined;
}
