import { isIPv6 } from 'node:net';
import type { CaptureOptions } from './capture-options.ts';
import { ownerMatches } from './owner-matches.ts';
import { type CaptureRule, type IpFamily, jump, type Match, TCP, toAddress, toPort, UDP } from './rule-model.ts';

/** Where the agent answers queries. */
const DNS_PORT = 15_053;

/** Conntrack zones: two connections of the same addresses and ports, the application's and the agent's, must not mix. */
const ZONE = { upstream: 1, application: 2 } as const;

const NO_RULES: readonly CaptureRule[] = [];

/** A name server, as a match, with the family of its address; without one it is any server. */
interface Server {
  readonly family?: IpFamily;
  readonly to: readonly Match[];
  readonly from: readonly Match[];
}

/** Sends queries to the agent. */
export function buildDnsRedirects(options: CaptureOptions): readonly CaptureRule[] {
  const servers = serversOf(options);
  if (servers.length === 0) return NO_RULES;
  const redirect = (protocol: Match): readonly CaptureRule[] =>
    servers.map(({ family, to }) => ({
      ...withFamily(family),
      table: 'nat',
      chain: 'ISTIO_OUTPUT_DNS',
      matches: [protocol, ...to, toPort(53)],
      verdict: { kind: 'redirect', port: DNS_PORT },
    }));
  return [
    ...familiesOf(servers).map(
      (family): CaptureRule => ({
        ...withFamily(family),
        table: 'nat',
        chain: 'ISTIO_OUTPUT',
        matches: [],
        verdict: jump('ISTIO_OUTPUT_DNS'),
      }),
    ),
    ...redirect(TCP),
    ...redirect(UDP),
  ];
}

/** Keeps the conversation application ↔ agent apart from agent ↔ name server. */
export function buildDnsZones(options: CaptureOptions): readonly CaptureRule[] {
  const servers = serversOf(options);
  if (servers.length === 0) return NO_RULES;
  const rule = (chain: string, matches: readonly Match[], zone: number, family?: IpFamily): CaptureRule => ({
    ...withFamily(family),
    table: 'raw',
    chain,
    matches,
    verdict: { kind: 'zone', zone },
  });
  const fromAgent: Match = { kind: 'port', side: 'source', ports: [DNS_PORT] };
  const fromServer: Match = { kind: 'port', side: 'source', ports: [53] };
  return [
    { table: 'raw', chain: 'OUTPUT', matches: [], verdict: jump('ISTIO_OUTPUT_DNS') },
    ...ownerMatches(options.owner).flatMap(({ is }) => [
      rule('ISTIO_OUTPUT_DNS', [UDP, toPort(53), is], ZONE.upstream),
      rule('ISTIO_OUTPUT_DNS', [UDP, fromAgent, is], ZONE.application),
    ]),
    ...familiesOf(servers).map(
      (family): CaptureRule => ({
        ...withFamily(family),
        table: 'raw',
        chain: 'PREROUTING',
        matches: [],
        verdict: jump('ISTIO_INBOUND'),
      }),
    ),
    ...servers.flatMap(({ family, to, from }) => [
      rule('ISTIO_OUTPUT_DNS', [UDP, ...to, toPort(53)], ZONE.application, family),
      rule('ISTIO_INBOUND', [UDP, ...from, fromServer], ZONE.upstream, family),
    ]),
  ];
}

function serversOf({ dnsServers, families }: CaptureOptions): readonly Server[] {
  if (dnsServers === '*') return [{ to: [], from: [] }];
  return dnsServers.flatMap((address) => {
    const family = isIPv6(address) ? 'v6' : 'v4';
    if (!families.includes(family)) return [];
    const cidr = `${address}/${family === 'v6' ? 128 : 32}`;
    return [{ family, to: [toAddress(cidr)], from: [{ kind: 'address', side: 'source', cidr }] } as const];
  });
}

function familiesOf(servers: readonly Server[]): readonly (IpFamily | undefined)[] {
  return [...new Set(servers.map(({ family }) => family))];
}

function withFamily(family: IpFamily | undefined): Pick<CaptureRule, 'family'> {
  return family === undefined ? {} : { family };
}
