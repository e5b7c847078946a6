/** The target of an HTTP request, as it was sent. */
export interface RequestTarget {
  /** Neither decoded nor normalized. */
  readonly path: string;
  /** With its question mark; empty when there is none. */
  readonly search: string;
  readonly query: URLSearchParams;
}

/**
 * Splits a request's target into path and query, and changes neither.
 *
 * Servers with a few known paths compare with this: a URL parser would resolve `..`, and a proxy in front that let
 * `/metrics/../quit` through, since it begins with `/metrics`, would have let `/quit` through.
 *
 * @returns `undefined` when the target is not of the form `/path?query`.
 */
export function parseRequestTarget(target: string | undefined): RequestTarget | undefined {
  if (target?.startsWith('/') !== true) return undefined;
  const start = target.indexOf('?');
  const search = start === -1 ? '' : target.slice(start);
  return { path: start === -1 ? target : target.slice(0, start), search, query: new URLSearchParams(search) };
}
