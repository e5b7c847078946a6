import { isIP } from 'node:net';

/** What a `resolv.conf` says that a forwarder needs. */
export interface ResolverConfig {
  /** Addresses, in order. */
  readonly nameServers: readonly string[];
  readonly searchDomains: readonly string[];
}

/** As many as resolvers use. */
const MAX_NAME_SERVERS = 3;

/** Reads a `resolv.conf`; of several search lines the last one counts. */
export function parseResolvConf(text: string): ResolverConfig {
  const words = text.split('\n').map((line) => line.trim().split(/\s+/));
  const valuesOf = (key: string): readonly (readonly string[])[] =>
    words.flatMap(([first, ...values]) => (first === key ? [values] : []));
  return {
    nameServers: valuesOf('nameserver')
      .flatMap(([address = '']) => (isIP(address.split('%')[0] ?? '') === 0 ? [] : [address]))
      .slice(0, MAX_NAME_SERVERS),
    searchDomains: (valuesOf('search').at(-1) ?? []).map((domain) => domain.replace(/\.$/, '')),
  };
}
