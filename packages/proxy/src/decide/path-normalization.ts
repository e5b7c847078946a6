/** What is done to a path before anything looks at it. */
export interface PathNormalization {
  readonly normalizePath: boolean;
  readonly mergeSlashes: boolean;
  readonly escapedSlashes: 'keep_unchanged' | 'reject_request' | 'unescape_and_redirect' | 'unescape_and_forward';
}

/** The path to go on with, or why there is none. */
export type NormalizedPath =
  | { readonly kind: 'ok'; readonly path: string }
  | { readonly kind: 'redirect'; readonly path: string }
  | { readonly kind: 'rejected' };

/** Without any of these a path is normal already, which nearly all are. */
const NEEDS_WORK = /[%\\]|\/\./;
const ESCAPED_SLASH = /%2f|%5c/i;

function unescapeSlashes(path: string): string {
  return path.replaceAll(/%2f/gi, '/').replaceAll(/%5c/gi, '\\');
}

function isUnreserved(code: number): boolean {
  return (
    (code >= 0x30 && code <= 0x39) ||
    (code >= 0x41 && code <= 0x5a) ||
    (code >= 0x61 && code <= 0x7a) ||
    code === 0x2d ||
    code === 0x2e ||
    code === 0x5f ||
    code === 0x7e
  );
}

/** RFC 3986 section 6.2.2: escapes of unreserved characters decoded, dot segments removed; backslashes count as slashes. */
function normalize(path: string): string | undefined {
  const decoded = path.replaceAll('\\', '/').replaceAll(/%([0-9a-fA-F]{2})/g, (escape, digits: string) => {
    const code = Number.parseInt(digits, 16);
    return isUnreserved(code) ? String.fromCharCode(code) : escape;
  });
  if (/%00/.test(decoded)) return undefined;
  const kept: string[] = [];
  const segments = decoded.split('/').slice(1);
  for (const [index, segment] of segments.entries()) {
    const isLast = index === segments.length - 1;
    if (segment === '..') {
      kept.pop();
      if (isLast) kept.push('');
    } else if (segment === '.') {
      if (isLast) kept.push('');
    } else {
      kept.push(segment);
    }
  }
  return `/${kept.join('/')}`;
}

/**
 * Brings a path into the form that rules are written against; the query stays as it is.
 *
 * @param target Path with query, beginning with `/`.
 */
export function normalizePath(target: string, options: PathNormalization): NormalizedPath {
  const queryStart = target.indexOf('?');
  let path = queryStart === -1 ? target : target.slice(0, queryStart);
  const query = queryStart === -1 ? '' : target.slice(queryStart);
  let redirects = false;
  if (options.escapedSlashes !== 'keep_unchanged' && ESCAPED_SLASH.test(path)) {
    if (options.escapedSlashes === 'reject_request') return { kind: 'rejected' };
    path = unescapeSlashes(path);
    redirects = options.escapedSlashes === 'unescape_and_redirect';
  }
  if (options.normalizePath && NEEDS_WORK.test(path)) {
    const normalized = normalize(path);
    if (normalized === undefined) return { kind: 'rejected' };
    path = normalized;
  }
  if (options.mergeSlashes && path.includes('//')) path = path.replaceAll(/\/{2,}/g, '/');
  return { kind: redirects ? 'redirect' : 'ok', path: `${path}${query}` };
}
