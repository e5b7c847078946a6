/** Domains of a route table, indexed for look-up by host. */
export interface DomainIndex<Host> {
  readonly exact: ReadonlyMap<string, Host>;
  /** `*.foo.com` as `.foo.com`, longest first. */
  readonly suffixes: readonly (readonly [string, Host])[];
  /** `foo.*` as `foo.`, longest first. */
  readonly prefixes: readonly (readonly [string, Host])[];
  readonly any: Host | undefined;
}

function longestFirst<Host>(left: readonly [string, Host], right: readonly [string, Host]): number {
  return right[0].length - left[0].length;
}

/** Indexes the domains of virtual hosts; of a repeated domain the first owner stays. */
export function buildDomainIndex<Host>(
  hosts: readonly { readonly domains: readonly string[]; readonly value: Host }[],
): DomainIndex<Host> {
  const exact = new Map<string, Host>();
  const suffixes: [string, Host][] = [];
  const prefixes: [string, Host][] = [];
  let any: Host | undefined;
  for (const { domains, value } of hosts) {
    for (const domain of domains) {
      if (domain === '*') any ??= value;
      else if (domain.startsWith('*')) suffixes.push([domain.slice(1), value]);
      else if (domain.endsWith('*')) prefixes.push([domain.slice(0, -1), value]);
      else if (!exact.has(domain)) exact.set(domain, value);
    }
  }
  return { exact, suffixes: suffixes.sort(longestFirst), prefixes: prefixes.sort(longestFirst), any };
}

/**
 * Finds the virtual host of a request: exact domain, longest suffix wildcard, longest prefix wildcard, `*`.
 *
 * @param host Lower case, with or without port, as the table's domains are written.
 */
export function matchVirtualHost<Host>(index: DomainIndex<Host>, host: string): Host | undefined {
  const exact = index.exact.get(host);
  if (exact !== undefined) return exact;
  // A wildcard stands for at least one character.
  for (const [suffix, value] of index.suffixes) {
    if (host.length > suffix.length && host.endsWith(suffix)) return value;
  }
  for (const [prefix, value] of index.prefixes) {
    if (host.length > prefix.length && host.startsWith(prefix)) return value;
  }
  return index.any;
}

/** A host without its port; brackets of an IPv6 address stay. */
export function stripPort(host: string): string {
  const colon = host.lastIndexOf(':');
  if (colon === -1 || colon < host.lastIndexOf(']')) return host;
  return /^\d*$/.test(host.slice(colon + 1)) ? host.slice(0, colon) : host;
}
