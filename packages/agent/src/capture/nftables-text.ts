import {
  type CaptureRule,
  type CaptureRules,
  type IpFamily,
  type Match,
  ownChains,
  RULE_TABLES,
  type RuleTable,
  type Verdict,
} from './rule-model.ts';

/** Every table that capture may have made, used or not. */
export const NFT_TABLES: readonly string[] = RULE_TABLES.map(nftTableName);

const BASE_CHAINS: Readonly<
  Record<RuleTable, { readonly type: string; readonly outputType: string; readonly priority: number }>
> = {
  raw: { type: 'filter', outputType: 'filter', priority: -300 },
  // Only a chain of type route has packets routed again after it has marked them.
  mangle: { type: 'filter', outputType: 'route', priority: -150 },
  nat: { type: 'nat', outputType: 'nat', priority: -100 },
};

/**
 * All rules as one transaction for `nft -f`: what an earlier run left is replaced in the same instant.
 *
 * @see istio: tools/istio-nftables, whose names of tables and chains these are
 */
export function toNftTransaction(rules: CaptureRules): string {
  return `${toNftRemoval()}${usedTables(rules)
    .map((table) => toTable(rules, table))
    .join('')}`;
}

/** The transaction that removes everything. Adding a table first makes its deletion safe when there is none. */
export function toNftRemoval(): string {
  return NFT_TABLES.map((table) => `add table inet ${table}\ndelete table inet ${table}\n`).join('');
}

/** Rules by `table chain`, in the form of {@link normalizeNftRule}. */
export function nftRulesByChain(captureRules: CaptureRules): ReadonlyMap<string, readonly string[]> {
  const chains = new Map<string, string[]>();
  const { rules, families } = captureRules;
  for (const table of usedTables(captureRules)) {
    for (const [chain, lines] of linesByChain(rules, table, families))
      if (lines.length > 0) chains.set(`${nftTableName(table)} ${chain}`, lines.map(normalizeNftRule));
  }
  return chains;
}

/** Reads what `nft list ruleset` printed about our tables, as {@link nftRulesByChain} gives it. */
export function parseNftListing(text: string): ReadonlyMap<string, readonly string[]> {
  const chains = new Map<string, string[]>();
  let [table, chain] = ['', ''];
  for (const line of text.split('\n').map((raw) => raw.trim())) {
    const [, tableName] = /^table inet (\S+) \{/.exec(line) ?? [];
    const [, chainName] = /^chain (\S+) \{/.exec(line) ?? [];
    if (tableName !== undefined) table = tableName;
    else if (line.startsWith('table ')) table = '';
    else if (chainName !== undefined) chain = chainName;
    else if (line !== '' && line !== '}' && !line.startsWith('type ') && NFT_TABLES.includes(table)) {
      const key = `${table} ${chain}`;
      chains.set(key, [...(chains.get(key) ?? []), normalizeNftRule(line)]);
    }
  }
  return chains;
}

/** Brings a rule into a form in which what nft lists and what it was given are the same text. */
export function normalizeNftRule(line: string): string {
  return line
    .replaceAll('"', '')
    .replace(/\bmeta (mark|skuid|skgid|iifname|oifname)\b/g, '$1')
    .replace(/0x[0-9a-f]+/g, (hex) => String(Number(hex)))
    .replace(/\/(32|128)\b/g, '')
    .replace('established,related', 'related,established')
    .replace(/\s+/g, ' ')
    .trim();
}

function nftTableName(table: RuleTable): string {
  return `istio-proxy-${table}`;
}

function nftChainName(chain: string): string {
  return chain.toLowerCase().replaceAll('_', '-');
}

function usedTables({ rules }: CaptureRules): readonly RuleTable[] {
  return RULE_TABLES.filter((table) => rules.some((rule) => rule.table === table));
}

function toTable({ rules, families }: CaptureRules, table: RuleTable): string {
  const chains = linesByChain(rules, table, families);
  const blocks = [...chains].map(([chain, lines]) => {
    const body = [...(isBase(chain) ? [hookOf(table, chain)] : []), ...lines];
    return `  chain ${chain} {\n${body.map((line) => `    ${line}\n`).join('')}  }\n`;
  });
  // Chains first, empty: a jump may only name a chain that is known.
  const names = [...chains.keys()].filter((chain) => !isBase(chain)).map((chain) => `  chain ${chain} {}\n`);
  return `table inet ${nftTableName(table)} {\n${[...names, ...blocks].join('')}}\n`;
}

function isBase(chain: string): boolean {
  return chain === 'prerouting' || chain === 'output';
}

function hookOf(table: RuleTable, chain: string): string {
  const { type, outputType, priority } = BASE_CHAINS[table];
  return `type ${chain === 'output' ? outputType : type} hook ${chain} priority ${priority}; policy accept;`;
}

function linesByChain(
  rules: readonly CaptureRule[],
  table: RuleTable,
  families: readonly IpFamily[],
): ReadonlyMap<string, readonly string[]> {
  const ofTable = rules.filter((rule) => rule.table === table && families.includes(rule.family ?? 'v4'));
  const chains = ['PREROUTING', 'OUTPUT', ...ownChains(ofTable)];
  return new Map(
    chains.map((chain) => {
      const lines = ofTable.filter((rule) => rule.chain === chain).map(toNftRule);
      return [nftChainName(chain), isBase(nftChainName(chain)) ? [...leaveFamilyAlone(families), ...lines] : lines];
    }),
  );
}

/** A table of both families sees packets of both, also where capture is meant for one. */
function leaveFamilyAlone(families: readonly IpFamily[]): readonly string[] {
  return families.includes('v6') ? [] : ['meta nfproto ipv6 return'];
}

/** A rule as nft reads it, and nearly as it lists it. */
function toNftRule({ family, matches, verdict }: CaptureRule): string {
  const protocol = matches.find((match) => match.kind === 'protocol');
  const names = matches.some(({ kind }) => kind === 'port');
  const words = matches.flatMap((match) => {
    if (match.kind !== 'protocol') return [toMatch(match, protocol?.protocol ?? 'tcp')];
    // A port names its protocol.
    return names ? [] : [`meta l4proto ${match.protocol}`];
  });
  return [...words, toStatement(verdict, family)].join(' ');
}

function toMatch(match: Exclude<Match, { kind: 'protocol' }>, protocol: string): string {
  switch (match.kind) {
    case 'interface':
      return `${match.direction === 'in' ? 'iifname' : 'oifname'} "${match.name.replace(/\+$/, '*')}"`;
    case 'address': {
      const family = match.cidr.includes(':') ? 'ip6' : 'ip';
      return `${family} ${match.side === 'source' ? 'saddr' : 'daddr'} ${not(match)}${match.cidr}`;
    }
    case 'port': {
      const ports = match.ports.length > 1 ? `{ ${match.ports.join(', ')} }` : String(match.ports[0]);
      return `${protocol} ${match.side === 'source' ? 'sport' : 'dport'} ${not(match)}${ports}`;
    }
    case 'owner':
      return `meta sk${match.by} ${not(match)}${match.id}`;
    case 'mark':
      return `${match.of === 'packet' ? 'meta' : 'ct'} mark ${not(match)}${match.mark}`;
    case 'state':
      return `ct state ${match.states.map((state) => state.toLowerCase()).join(',')}`;
  }
}

function not({ isNegated }: { readonly isNegated?: boolean | undefined }): string {
  return isNegated === true ? '!= ' : '';
}

function toStatement(verdict: Verdict, family: IpFamily | undefined): string {
  switch (verdict.kind) {
    case 'return':
    case 'accept':
    case 'drop':
      return verdict.kind;
    case 'jump':
      return `jump ${nftChainName(verdict.chain)}`;
    case 'redirect':
      return `redirect to :${verdict.port}`;
    case 'tproxy':
      return `tproxy ${family === 'v6' ? 'ip6' : 'ip'} to :${verdict.port} meta mark set ${verdict.mark} accept`;
    case 'set-mark':
      return `meta mark set ${verdict.mark}`;
    case 'save-mark':
      return 'ct mark set meta mark';
    case 'restore-mark':
      return 'meta mark set ct mark';
    case 'zone':
      return `ct zone set ${verdict.zone}`;
  }
}
