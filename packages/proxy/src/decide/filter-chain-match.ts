import type { RuntimeCidr, RuntimeFilterChainMatch } from '../config/runtime-config.ts';
import { addressBits, type IpAddress, isLoopback, parseIp } from './ip.ts';

/** What is known about a connection when its chain is chosen. */
export interface ConnectionFacts {
  /** After original-destination recovery. */
  readonly destinationIp: string;
  readonly destinationPort: number;
  /** Lower case; empty when there is none. */
  readonly serverName: string;
  readonly transportProtocol: 'tls' | 'raw_buffer';
  /** In the client's order. */
  readonly applicationProtocols: readonly string[];
  /** The peer's address. */
  readonly directSourceIp: string;
  /** The peer's address, or the one a PROXY header named. */
  readonly sourceIp: string;
  readonly sourcePort: number;
}

interface CompiledRange {
  readonly address: IpAddress;
  readonly length: number;
}

interface CompiledChain {
  readonly index: number;
  readonly match: RuntimeFilterChainMatch;
  readonly destinations: readonly CompiledRange[];
  readonly directSources: readonly CompiledRange[];
  readonly sources: readonly CompiledRange[];
}

function compileRanges(ranges: readonly RuntimeCidr[]): readonly CompiledRange[] {
  return ranges.flatMap(({ address, prefixLength }) => {
    const parsed = parseIp(address);
    return parsed === undefined ? [] : [{ address: parsed, length: prefixLength }];
  });
}

/** Length of the longest range that holds the address: -1 none, and -2 when the chain has no ranges at all. */
function longestPrefix(ranges: readonly CompiledRange[], address: IpAddress | undefined): number {
  if (ranges.length === 0) return -2;
  let longest = -1;
  if (address === undefined) return longest;
  for (const range of ranges) {
    if (range.length <= longest || range.address.version !== address.version) continue;
    const shift = BigInt(addressBits(address) - range.length);
    if (range.address.value >> shift === address.value >> shift) longest = range.length;
  }
  return longest;
}

function keepLongestPrefix(
  chains: readonly CompiledChain[],
  rangesOf: (chain: CompiledChain) => readonly CompiledRange[],
  address: IpAddress | undefined,
): readonly CompiledChain[] {
  const lengths = chains.map((chain) => longestPrefix(rangesOf(chain), address));
  const best = Math.max(...lengths);
  // -1 means that a chain's ranges all miss; those chains never qualify, even when nothing else does.
  const wanted = best >= 0 ? best : -2;
  return chains.filter((_, index) => lengths[index] === wanted);
}

/** Keeps the chains that name the value, or else those that do not look at it. */
function keepNamed(
  chains: readonly CompiledChain[],
  names: (chain: CompiledChain) => boolean,
  ignores: (chain: CompiledChain) => boolean,
): readonly CompiledChain[] {
  const named = chains.filter(names);
  return named.length > 0 ? named : chains.filter(ignores);
}

function keepServerName(chains: readonly CompiledChain[], serverName: string): readonly CompiledChain[] {
  if (serverName !== '') {
    const exact = chains.filter(({ match }) => match.serverNames.includes(serverName));
    if (exact.length > 0) return exact;
    for (let dot = serverName.indexOf('.'); dot !== -1; dot = serverName.indexOf('.', dot + 1)) {
      const wildcard = `*${serverName.slice(dot)}`;
      const matching = chains.filter(({ match }) => match.serverNames.includes(wildcard));
      if (matching.length > 0) return matching;
    }
  }
  return chains.filter(({ match }) => match.serverNames.length === 0);
}

function keepApplicationProtocol(
  chains: readonly CompiledChain[],
  offered: readonly string[],
): readonly CompiledChain[] {
  for (const protocol of offered) {
    const matching = chains.filter(({ match }) => match.applicationProtocols.includes(protocol));
    if (matching.length > 0) return matching;
  }
  return chains.filter(({ match }) => match.applicationProtocols.length === 0);
}

function keepSourceType(chains: readonly CompiledChain[], isLocal: boolean): readonly CompiledChain[] {
  const wanted = isLocal ? 'same_ip_or_loopback' : 'external';
  return keepNamed(
    chains,
    ({ match }) => match.sourceType === wanted,
    ({ match }) => match.sourceType === 'any',
  );
}

/**
 * Compiles the chains of a listener.
 *
 * The nine criteria are looked at one by one; each step keeps only the most specific group, and a later step that empties the
 * group does **not** go back to a less specific one: the connection then has no chain.
 *
 * @returns A function that gives the index of the chain, or undefined.
 * @see Envoy, api/envoy/config/listener/v3/listener_components.proto, `FilterChainMatch`
 */
export function compileFilterChains(
  matches: readonly RuntimeFilterChainMatch[],
): (facts: ConnectionFacts) => number | undefined {
  const compiled = matches.map(
    (match, index): CompiledChain => ({
      index,
      match,
      destinations: compileRanges(match.prefixRanges),
      directSources: compileRanges(match.directSourcePrefixRanges),
      sources: compileRanges(match.sourcePrefixRanges),
    }),
  );
  return (facts) => {
    let chains: readonly CompiledChain[] = keepNamed(
      compiled,
      ({ match }) => match.destinationPort === facts.destinationPort,
      ({ match }) => match.destinationPort === undefined,
    );
    chains = keepLongestPrefix(chains, (chain) => chain.destinations, parseIp(facts.destinationIp));
    chains = keepServerName(chains, facts.serverName);
    chains = keepNamed(
      chains,
      ({ match }) => match.transportProtocol === facts.transportProtocol,
      ({ match }) => match.transportProtocol === '',
    );
    chains = keepApplicationProtocol(chains, facts.applicationProtocols);
    const directSource = parseIp(facts.directSourceIp);
    chains = keepLongestPrefix(chains, (chain) => chain.directSources, directSource);
    const isLocal = facts.sourceIp === facts.destinationIp || isLoopback(facts.sourceIp);
    chains = keepSourceType(chains, isLocal);
    chains = keepLongestPrefix(chains, (chain) => chain.sources, parseIp(facts.sourceIp));
    chains = keepNamed(
      chains,
      ({ match }) => match.sourcePorts.includes(facts.sourcePort),
      ({ match }) => match.sourcePorts.length === 0,
    );
    return chains[0]?.index;
  };
}
