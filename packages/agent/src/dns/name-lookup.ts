import { isIPv4, isIPv6 } from 'node:net';

/** One name of the mesh, as the control plane sends it. */
export interface NameInfo {
  readonly ips: readonly string[];
  readonly registry: string;
  readonly shortname: string;
  readonly namespace: string;
}

/** Who asks: the pod's own names depend on it. */
export interface NameLookupContext {
  readonly namespace: string;
  /** Domain of Services, such as `svc.cluster.local`. */
  readonly serviceDomain: string;
  /** First domain of the pod's search list, by which its resolver expands short names; empty without a list. */
  readonly searchDomain: string;
}

/** What is known of a name. */
export interface KnownName {
  /** The name proper, where the one asked for is an expansion of it. */
  readonly cname?: string | undefined;
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
}

/** Finds names of the mesh. */
export interface NameLookup {
  /**
   * @param name Lower case, with the dot at the end.
   * @returns `undefined` for names that the mesh does not know.
   */
  find(name: string): KnownName | undefined;
  readonly size: number;
}

/**
 * Indexes a table of names under every form by which a pod may ask for them.
 *
 * A Service answers to `name` in its own namespace, to `name.namespace`, `name.namespace.svc` and its full name; anything else
 * to its exact name, or as `*.domain` to every name below it, the most specific first. A resolver asks for the expansion by
 * its search list first: that is answered with the name proper as an alias, which saves the client further questions.
 */
export function createNameLookup(table: ReadonlyMap<string, NameInfo>, context: NameLookupContext): NameLookup {
  const known = new Map<string, KnownName>();
  for (const [host, info] of table) {
    const addresses = { ipv4: info.ips.filter((ip) => isIPv4(ip)), ipv6: info.ips.filter((ip) => isIPv6(ip)) };
    if (addresses.ipv4.length + addresses.ipv6.length === 0) continue;
    for (const name of formsOf(host, info, context)) known.set(name, addresses);
  }
  if (context.searchDomain !== '') addExpansions(known, `${context.searchDomain.toLowerCase()}.`);
  return {
    size: table.size,
    find: (name) => known.get(name) ?? findWildcard(known, name),
  };
}

function formsOf(host: string, info: NameInfo, { namespace, serviceDomain }: NameLookupContext): readonly string[] {
  const full = absolute(host);
  const isService = info.registry === 'Kubernetes' && info.shortname !== '' && host.endsWith(`.${serviceDomain}`);
  if (!isService) return [full];
  const [service = ''] = serviceDomain.split('.');
  const inNamespace = `${info.shortname}.${info.namespace}`;
  const names = [full, absolute(inNamespace), absolute(`${inNamespace}.${service}`)];
  return info.namespace === namespace ? [absolute(info.shortname), ...names] : names;
}

function absolute(name: string): string {
  return name.endsWith('.') ? name.toLowerCase() : `${name.toLowerCase()}.`;
}

function addExpansions(known: Map<string, KnownName>, searchDomain: string): void {
  for (const [name, addresses] of [...known]) {
    const expanded = `${name}${searchDomain}`;
    // What is a name of its own stays one.
    if (!known.has(expanded)) known.set(expanded, { ...addresses, cname: name.startsWith('*.') ? undefined : name });
  }
}

function findWildcard(known: ReadonlyMap<string, KnownName>, name: string): KnownName | undefined {
  for (let dot = name.indexOf('.'); dot >= 0 && dot < name.length - 1; dot = name.indexOf('.', dot + 1)) {
    const found = known.get(`*${name.slice(dot)}`);
    if (found !== undefined) return found;
  }
  return undefined;
}
