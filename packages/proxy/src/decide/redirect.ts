import type { RuntimeRedirectAction } from '../config/runtime-config.ts';
import { compileRegexRewrite } from './string-match.ts';
import { stripPort } from './virtual-host-match.ts';

/** What a redirect is made from. */
export interface RedirectInput {
  readonly scheme: 'http' | 'https';
  readonly authority: string;
  /** With the query. */
  readonly path: string;
  /** Length of the path that the route matched by prefix; undefined for other matches. */
  readonly matchedPrefixLength: number | undefined;
}

function redirectHost(action: RuntimeRedirectAction, scheme: string, input: RedirectInput): string {
  const host = action.hostRedirect ?? input.authority;
  if (action.portRedirect !== undefined) return `${stripPort(host)}:${action.portRedirect}`;
  if (scheme === input.scheme) return host;
  // A port that was the old scheme's default would be wrong for the new one.
  if (scheme === 'https' && host.endsWith(':80')) return host.slice(0, -3);
  if (scheme === 'http' && host.endsWith(':443')) return host.slice(0, -4);
  return host;
}

/**
 * Compiles a redirect action.
 *
 * @returns A function that gives the `location` of a request's redirect.
 */
export function compileRedirect(action: RuntimeRedirectAction): (input: RedirectInput) => string {
  const rewrite =
    action.regexRewrite === undefined
      ? undefined
      : compileRegexRewrite(action.regexRewrite.regex, action.regexRewrite.substitution);
  return (input) => {
    const scheme = action.httpsRedirect ? 'https' : (action.schemeRedirect ?? input.scheme);
    const queryStart = input.path.indexOf('?');
    const path = queryStart === -1 ? input.path : input.path.slice(0, queryStart);
    const query = queryStart === -1 || action.stripQuery ? '' : input.path.slice(queryStart);
    const base = `${scheme}://${redirectHost(action, scheme, input)}`;
    if (action.pathRedirect !== undefined) {
      return `${base}${action.pathRedirect}${action.pathRedirect.includes('?') ? '' : query}`;
    }
    if (action.prefixRewrite !== undefined) {
      return `${base}${action.prefixRewrite}${path.slice(input.matchedPrefixLength ?? 0)}${query}`;
    }
    return `${base}${rewrite === undefined ? path : rewrite(path)}${query}`;
  };
}
