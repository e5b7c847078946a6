/**
 * Completes a short name in a rule: `reviews` in namespace `default` is `reviews.default.svc.cluster.local`.
 *
 * Anything with a dot, `*`, and IP addresses are taken as they are.
 */
export function resolveShortName(host: string, namespace: string, domainSuffix: string): string {
  if (host === '*' || host.includes('.') || host.includes(':') || host === '') return host;
  return `${host}.${namespace}.svc.${domainSuffix}`;
}

/** Whether a host name starts with `*`. */
export function isWildcardHost(host: string): boolean {
  return host.startsWith('*');
}

/**
 * Whether two host names, either of which may be a wildcard, can name the same host.
 *
 * `*.com` and `foo.com` do, `*.foo.com` and `foo.com` do not, `*` matches everything.
 */
export function matchHosts(left: string, right: string): boolean {
  const leftWild = isWildcardHost(left);
  const rightWild = isWildcardHost(right);
  if (leftWild && rightWild) {
    const leftSuffix = left.slice(1);
    const rightSuffix = right.slice(1);
    return leftSuffix.endsWith(rightSuffix) || rightSuffix.endsWith(leftSuffix);
  }
  if (leftWild) return right.endsWith(left.slice(1));
  if (rightWild) return left.endsWith(right.slice(1));
  return left === right;
}

/** Whether every host that `inner` names is also named by `outer`. */
export function isSubsetOfHost(inner: string, outer: string): boolean {
  if (isWildcardHost(outer)) {
    const suffix = outer.slice(1);
    return (isWildcardHost(inner) ? inner.slice(1) : inner).endsWith(suffix);
  }
  return inner === outer;
}

/** Most specific first: exact names, then longer wildcards, ties alphabetical. */
export function compareHostSpecificity(left: string, right: string): number {
  const leftWild = isWildcardHost(left);
  const rightWild = isWildcardHost(right);
  if (leftWild !== rightWild) return leftWild ? 1 : -1;
  if (leftWild && left.length !== right.length) return right.length - left.length;
  return left < right ? -1 : left > right ? 1 : 0;
}

/**
 * The most specific of some patterns that covers a host.
 *
 * @returns `undefined` when none does.
 */
export function mostSpecificHost(patterns: Iterable<string>, host: string): string | undefined {
  let best: string | undefined;
  for (const pattern of patterns) {
    if (!isSubsetOfHost(host, pattern)) continue;
    if (best === undefined || compareHostSpecificity(pattern, best) < 0) best = pattern;
  }
  return best;
}
