/** Whether every host that `inner` names is named by `outer` too; either may begin with `*`. */
export function isSubsetOfHostPattern(inner: string, outer: string): boolean {
  if (!outer.startsWith('*')) return inner === outer;
  return (inner.startsWith('*') ? inner.slice(1) : inner).endsWith(outer.slice(1));
}

/** Whether some host is named by both; either may begin with `*`. */
export function overlappingHosts(left: string, right: string): boolean {
  return isSubsetOfHostPattern(left, right) || isSubsetOfHostPattern(right, left);
}

/**
 * Completes a short name in a rule: `reviews` in namespace `default` is `reviews.default.svc.cluster.local`.
 * Names with a dot, `*` and addresses are taken as they are.
 */
export function completeHost(host: string, namespace: string, domainSuffix = 'cluster.local'): string {
  return host === '' || host === '*' || /[.:]/.test(host) ? host : `${host}.${namespace}.svc.${domainSuffix}`;
}
