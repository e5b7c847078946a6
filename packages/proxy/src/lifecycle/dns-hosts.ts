import type { LookupAddress } from 'node:dns';
import { isIP } from 'node:net';
import { type Clock, type ClockTimer, type Log, messageOf } from '@meltemi/base';
import type { DnsTarget } from '../compile/cluster-discovery.ts';
import type { RuntimeEndpoints, RuntimeHost } from '../config/endpoints.ts';
import type { Configuration } from './configuration.ts';

/** Looks a host name up; all its addresses. */
export type LookupHost = (name: string, family: 0 | 4 | 6) => Promise<readonly LookupAddress[]>;

/** Keeps the hosts of DNS clusters resolved. */
export interface DnsHosts {
  /** Starts and stops resolving as DNS clusters come, change and go. */
  refresh(): void;
  close(): void;
}

/** Settings of {@link createDnsHosts}. */
export interface DnsHostsOptions {
  readonly configuration: Configuration;
  readonly lookup: LookupHost;
  readonly clock: Clock;
  readonly log: Log;
  /** Hosts of a cluster changed. */
  readonly onChange: () => void;
}

interface Resolving {
  readonly target: DnsTarget;
  timer: ClockTimer | undefined;
  isStopped: boolean;
}

async function lookupFamily(
  name: string,
  family: DnsTarget['family'],
  lookup: LookupHost,
): Promise<readonly LookupAddress[]> {
  if (family === 'v4_only') return lookup(name, 4);
  if (family === 'v6_only') return lookup(name, 6);
  const addresses = await lookup(name, 0);
  if (family === 'all') return addresses;
  const preferred = family === 'v4_preferred' ? 4 : 6;
  const ofFamily = addresses.filter((address) => address.family === preferred);
  return ofFamily.length > 0 ? ofFamily : addresses;
}

async function resolveHost(host: RuntimeHost, target: DnsTarget, lookup: LookupHost): Promise<readonly RuntimeHost[]> {
  const { address } = host;
  if (address.kind === 'pipe' || isIP(address.address) !== 0) return [host];
  const addresses = await lookupFamily(address.address, target.family, lookup);
  return (target.onlyFirst ? addresses.slice(0, 1) : addresses).map((found) => ({
    ...host,
    hostname: host.hostname === '' ? address.address : host.hostname,
    address: { kind: 'tcp', address: found.address, port: address.port },
  }));
}

async function resolveTarget(target: DnsTarget, lookup: LookupHost): Promise<RuntimeEndpoints> {
  const localities = await Promise.all(
    target.template.localities.map(async (locality) => ({
      ...locality,
      hosts: (await Promise.all(locality.hosts.map((host) => resolveHost(host, target, lookup)))).flat(),
    })),
  );
  return { ...target.template, localities };
}

/** Creates the resolver of DNS clusters. A failed lookup keeps the old hosts; the first failure counts as "no hosts". */
export function createDnsHosts({ configuration, lookup, clock, log, onChange }: DnsHostsOptions): DnsHosts {
  const resolving = new Map<string, Resolving>();

  const put = (name: string, endpoints: RuntimeEndpoints): void => {
    const known = configuration.localEndpoints.get(name);
    if (known !== undefined && JSON.stringify(known) === JSON.stringify(endpoints)) return;
    configuration.localEndpoints.set(name, endpoints);
    onChange();
  };

  const run = async (name: string, entry: Resolving): Promise<void> => {
    try {
      const endpoints = await resolveTarget(entry.target, lookup);
      if (!entry.isStopped) put(name, endpoints);
    } catch (error) {
      log.debug('cannot resolve the hosts of a cluster', { cluster: name, error: messageOf(error) });
      if (!entry.isStopped && !configuration.localEndpoints.has(name))
        put(name, { ...entry.target.template, localities: [] });
    }
    if (!entry.isStopped) entry.timer = clock.setTimer(() => void run(name, entry), entry.target.refreshMs);
  };

  const stop = (entry: Resolving): void => {
    entry.isStopped = true;
    entry.timer?.cancel();
  };

  return {
    refresh() {
      for (const [name, entry] of resolving) {
        if (configuration.clusters.wanted.get(name)?.compiled.dns === entry.target) continue;
        stop(entry);
        resolving.delete(name);
      }
      for (const [name, { compiled }] of configuration.clusters.wanted) {
        if (compiled.dns === undefined || resolving.has(name)) continue;
        const entry: Resolving = { target: compiled.dns, timer: undefined, isStopped: false };
        resolving.set(name, entry);
        void run(name, entry);
      }
    },
    close() {
      for (const entry of resolving.values()) stop(entry);
      resolving.clear();
    },
  };
}
