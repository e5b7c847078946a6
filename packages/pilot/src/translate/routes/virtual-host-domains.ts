import { isHeadless, type Service, serviceAddresses, UNSPECIFIED_ADDRESS } from '@meltemi/model';

/** Whose names are asked for, and by whom. */
export interface DomainsInput {
  readonly hostname: string;
  /** The service of that name, when the registry has it. */
  readonly service: Service | undefined;
  readonly proxyNamespace: string;
  readonly clusterId: string;
  readonly domainSuffix: string;
}

/**
 * The names by which callers of one namespace reach a host: its full name with and without a final dot, the short forms
 * that their resolver completes, and its addresses.
 */
export function buildDomains({ hostname, service, proxyNamespace, clusterId, domainSuffix }: DomainsInput): string[] {
  if (hostname.startsWith('*')) return [hostname];
  const domains = [hostname, `${hostname}.`, ...shortForms(hostname, proxyNamespace, domainSuffix)];
  if (service === undefined) return domains;
  // The pods of a headless service have names of their own below it.
  if (isHeadless(service)) domains.push(...domains.map((domain) => `*.${domain}`));
  for (const address of serviceAddresses(service, clusterId)) {
    if (address === UNSPECIFIED_ADDRESS || address.includes('/')) continue;
    domains.push(address.includes(':') ? `[${address}]` : address);
  }
  return domains;
}

function shortForms(hostname: string, proxyNamespace: string, domainSuffix: string): string[] {
  const suffix = `.svc.${domainSuffix}`;
  if (!hostname.endsWith(suffix)) return [];
  const qualified = hostname.slice(0, -suffix.length);
  const separator = qualified.lastIndexOf('.');
  if (separator < 0) return [];
  const name = qualified.slice(0, separator);
  const namespace = qualified.slice(separator + 1);
  if (namespace !== proxyNamespace) return [`${name}.${namespace}`, `${name}.${namespace}.svc`];
  return [name, `${name}.${namespace}.svc`, `${name}.${namespace}`];
}
