import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RuntimeFilterChainMatch } from '../config/runtime-config.ts';
import { ANY_CONNECTION } from '../testing/runtime-resources.ts';
import { type ConnectionFacts, compileFilterChains } from './filter-chain-match.ts';

const FACTS: ConnectionFacts = {
  destinationIp: '10.0.0.9',
  destinationPort: 8080,
  serverName: '',
  transportProtocol: 'raw_buffer',
  applicationProtocols: [],
  directSourceIp: '10.0.1.1',
  sourceIp: '10.0.1.1',
  sourcePort: 40_000,
};

function choose(
  chains: readonly Partial<RuntimeFilterChainMatch>[],
  facts: Partial<ConnectionFacts>,
): number | undefined {
  return compileFilterChains(chains.map((chain) => ({ ...ANY_CONNECTION, ...chain })))({ ...FACTS, ...facts });
}

const range = (text: string) => {
  const [address = '', length] = text.split('/');
  return { address, prefixLength: Number(length) };
};

const cases: readonly {
  readonly name: string;
  readonly chains: readonly Partial<RuntimeFilterChainMatch>[];
  readonly facts: Partial<ConnectionFacts>;
  readonly wanted: number | undefined;
}[] = [
  { name: 'no criterion takes everything', chains: [{}], facts: {}, wanted: 0 },
  { name: 'no chain takes nothing', chains: [], facts: {}, wanted: undefined },
  {
    name: 'the destination port goes first',
    chains: [{ serverNames: ['a.com'] }, { destinationPort: 8080 }],
    facts: { serverName: 'a.com' },
    wanted: 1,
  },
  {
    name: 'the longest prefix wins',
    chains: [{ prefixRanges: [range('10.0.0.0/8')] }, { prefixRanges: [range('10.0.0.0/24')] }, {}],
    facts: {},
    wanted: 1,
  },
  {
    name: 'a chain whose ranges all miss is out even when nothing else is left',
    chains: [{ prefixRanges: [range('192.168.0.0/16')] }],
    facts: {},
    wanted: undefined,
  },
  {
    name: 'IPv6 ranges hold IPv6 addresses',
    chains: [{ prefixRanges: [range('fd00::/8')] }, {}],
    facts: { destinationIp: 'fd00::1' },
    wanted: 0,
  },
  {
    name: 'an exact server name goes before a wildcard, the longer wildcard before the shorter',
    chains: [{ serverNames: ['*.com'] }, { serverNames: ['*.b.com'] }, { serverNames: ['a.b.com'] }],
    facts: { serverName: 'x.b.com' },
    wanted: 1,
  },
  {
    name: 'PROXY-07 no step goes back: the name chose a chain whose protocol then misses',
    chains: [{ serverNames: ['a.com'], applicationProtocols: ['h2'] }, { applicationProtocols: ['http/1.1'] }],
    facts: { serverName: 'a.com', transportProtocol: 'tls', applicationProtocols: ['http/1.1'] },
    wanted: undefined,
  },
  {
    name: 'the transport protocol tells TLS from plaintext',
    chains: [{ transportProtocol: 'tls' }, { transportProtocol: 'raw_buffer' }],
    facts: { transportProtocol: 'tls' },
    wanted: 0,
  },
  {
    name: 'the first protocol in the order of the client that any chain lists decides',
    chains: [{ applicationProtocols: ['http/1.1'] }, { applicationProtocols: ['istio', 'istio-http/1.1'] }],
    facts: { applicationProtocols: ['istio-http/1.1', 'istio', 'http/1.1'] },
    wanted: 1,
  },
  {
    name: 'chains that list no protocol take what is left',
    chains: [{ applicationProtocols: ['h2'] }, {}],
    facts: { applicationProtocols: ['http/1.1'] },
    wanted: 1,
  },
  {
    name: 'a local source goes to its own chain',
    chains: [{ sourceType: 'external' }, { sourceType: 'same_ip_or_loopback' }],
    facts: { sourceIp: '10.0.0.9' },
    wanted: 1,
  },
  {
    name: 'source ports are exact',
    chains: [{ sourcePorts: [1] }, { sourcePorts: [40_000] }, {}],
    facts: {},
    wanted: 1,
  },
  {
    name: 'source ranges are the longest first too',
    chains: [{ sourcePrefixRanges: [range('10.0.1.1/32')] }, { sourcePrefixRanges: [range('10.0.0.0/16')] }],
    facts: {},
    wanted: 0,
  },
];

for (const { name, chains, facts, wanted } of cases) {
  test(`filter chain match: ${name}`, () => assert.equal(choose(chains, facts), wanted));
}
