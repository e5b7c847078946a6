import type { RuntimeHeaderMatcher, RuntimeQueryParameterMatcher } from '../config/runtime-config.ts';
import { type RequestView, readRequestField } from './request-view.ts';
import { compileStringMatcher } from './string-match.ts';

/** A compiled condition on a request. */
export type RequestPredicate = (request: RequestView) => boolean;

function compileValueTest(match: RuntimeHeaderMatcher['match']): (value: string) => boolean {
  if (match.kind === 'string') return compileStringMatcher(match.matcher);
  if (match.kind === 'present') return () => match.present;
  return (value) => /^[+-]?\d+$/.test(value) && Number(value) >= match.start && Number(value) < match.end;
}

/**
 * Compiles a header condition.
 *
 * A missing header fails every condition but "not present", and an inverted one too: Envoy's inversion holds for values only,
 * unless a missing header counts as an empty one.
 */
export function compileHeaderMatcher(matcher: RuntimeHeaderMatcher): RequestPredicate {
  const { name, match, invert } = matcher;
  if (match.kind === 'present') {
    return (request) => ((readRequestField(request, name) !== undefined) === match.present) !== invert;
  }
  const test = compileValueTest(match);
  return (request) => {
    const value = readRequestField(request, name) ?? (matcher.treatMissingAsEmpty ? '' : undefined);
    if (value === undefined) return false;
    return test(value) !== invert;
  };
}

/** The first value of a query parameter, percent-decoded; undefined when there is none. */
export function queryParameter(path: string, name: string): string | undefined {
  const start = path.indexOf('?');
  if (start === -1) return undefined;
  const fragment = path.indexOf('#', start);
  for (const pair of path.slice(start + 1, fragment === -1 ? undefined : fragment).split('&')) {
    const equals = pair.indexOf('=');
    if (decodeQuery(equals === -1 ? pair : pair.slice(0, equals)) !== name) continue;
    return equals === -1 ? '' : decodeQuery(pair.slice(equals + 1));
  }
  return undefined;
}

function decodeQuery(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    // A broken escape is part of the value, as received.
    return text;
  }
}

/** Compiles a condition on the first value of a query parameter. */
export function compileQueryParameterMatcher(matcher: RuntimeQueryParameterMatcher): RequestPredicate {
  const { name, match } = matcher;
  if (match.kind === 'present')
    return (request) => (queryParameter(request.path, name) !== undefined) === match.present;
  const test = compileStringMatcher(match.matcher);
  return (request) => {
    const value = queryParameter(request.path, name);
    return value !== undefined && test(value);
  };
}
