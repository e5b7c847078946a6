import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { type Log, MeltemiError, messageOf, type Random } from '@meltemi/base';
import type { AgentSettings } from '../settings.ts';
import type { SubscribeStream } from '../xds-proxy/stream-subscription.ts';
import { type DnsCounters, type DnsServer, startDnsServer } from './dns-server.ts';
import { createDnsUpstream } from './dns-upstream.ts';
import { createNameLookup, type NameInfo, type NameLookup, type NameLookupContext } from './name-lookup.ts';
import { parseResolvConf, type ResolverConfig } from './resolv-conf.ts';

/** What {@link startAgentDns} works with. */
export interface AgentDnsOptions {
  readonly settings: AgentSettings;
  readonly random: Random;
  readonly log: Log;
}

/** The agent's part in DNS: a server, and the subscription that fills its table. */
export interface AgentDns extends AsyncDisposable {
  readonly port: number;
  readonly subscribe: SubscribeStream;
  /** @returns What is missing before queries can be answered. */
  missing(): string | undefined;
  counters(): DnsCounters;
  /** The table as it came, for people. */
  table(): ReadonlyMap<string, NameInfo>;
}

/**
 * Starts to answer the pod's queries. The table of names survives a lost control plane: it is replaced by the next one only.
 *
 * @returns `undefined` when the settings say that queries are not captured.
 * @throws MeltemiError `DNS_PORT_TAKEN`, or `USAGE` without a readable `resolv.conf`
 */
export async function startAgentDns(options: AgentDnsOptions): Promise<AgentDns | undefined> {
  const { settings, random, log } = options;
  const { dns, soMark } = settings;
  if (dns === undefined) return undefined;
  // The types of discovery are worth megabytes: an agent without DNS does not need them.
  const { createNameTableSubscriber } = await import('../xds-proxy/name-table-subscription.ts');
  const resolver = await readResolver(settings.paths.resolvConf);
  const context = lookupContext(settings, resolver);
  let table: ReadonlyMap<string, NameInfo> = new Map();
  let names: NameLookup | undefined;
  const server = await startDnsServer({
    addresses: listenAddresses(dns.host, resolver),
    port: dns.port,
    names: () => names,
    isAlwaysForwarded: forwardedEarly(settings, dns.port),
    upstream: createDnsUpstream({
      servers: resolver.nameServers.map((address) => ({ address, port: 53 })),
      timeoutMs: dns.forwardTimeoutMs,
      isParallel: dns.forwardsParallel,
      soMark,
      random,
    }),
    soMark,
    random,
    log,
  });
  log.info('Answering DNS queries', { port: server.port, servers: resolver.nameServers });
  return agentDns(server, {
    subscribe: createNameTableSubscriber((next) => {
      table = next;
      names = createNameLookup(next, context);
      log.debug('The table of names has changed', { names: names.size });
    }),
    isThere: () => names !== undefined,
    table: () => table,
  });
}

function agentDns(
  server: DnsServer,
  { subscribe, isThere, table }: Pick<AgentDns, 'subscribe' | 'table'> & { readonly isThere: () => boolean },
): AgentDns {
  return {
    port: server.port,
    subscribe,
    missing: () => (isThere() ? undefined : 'the control plane has not sent the table of DNS names yet'),
    counters: () => server.counters(),
    table,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function readResolver(path: string): Promise<ResolverConfig> {
  try {
    return parseResolvConf(await readFile(path, 'utf8'));
  } catch (cause) {
    throw new MeltemiError('USAGE', `Cannot find out where DNS queries go: ${messageOf(cause)}`, { cause });
  }
}

function lookupContext({ domain, namespace }: AgentSettings, { searchDomains }: ResolverConfig): NameLookupContext {
  const serviceDomain = domain.startsWith(`${namespace}.`) ? domain.slice(namespace.length + 1) : domain;
  return { namespace, serviceDomain, searchDomain: searchDomains[0] ?? '' };
}

function listenAddresses(host: string, { nameServers }: ResolverConfig): readonly string[] {
  if (host !== 'localhost') return [host];
  const families = [nameServers.some((address) => !isIPv6(address)), nameServers.some((address) => isIPv6(address))];
  const addresses = ['127.0.0.1', '::1'].filter((_address, index) => families[index]);
  return addresses.length === 0 ? ['127.0.0.1'] : addresses;
}

/**
 * Before the table is there, the agent has to find the control plane that sends it, and where sockets are told apart by a mark
 * its resolver's queries come here too. On a machine whose resolver this server is, everything waits for an answer.
 */
function forwardedEarly({ discoveryAddress, caAddress }: AgentSettings, port: number): (name: string) => boolean {
  if (port === 53 && process.getuid?.() === 0) return () => true;
  const hosts = [discoveryAddress, caAddress].map((address) => `${address.slice(0, address.lastIndexOf(':'))}.`);
  return (name) => hosts.some((host) => name.startsWith(host.toLowerCase()));
}
