import { normalizeIptablesRule, toIptablesRule } from './iptables-text.ts';
import {
  type CaptureRule,
  type IpFamily,
  OWN_CHAIN_PREFIX,
  ownChains,
  RULE_TABLES,
  type RuleTable,
  rulesOf,
} from './rule-model.ts';

/** One table of what stands in the kernel. */
interface SavedTable {
  readonly chains: readonly string[];
  /** `-A` lines, in order. */
  readonly rules: readonly string[];
}

/** What `iptables-save` printed, by table. */
export type SavedTables = ReadonlyMap<string, SavedTable>;

/** Reads the output of `iptables-save`. */
export function parseIptablesSave(text: string): SavedTables {
  const tables = new Map<string, { chains: string[]; rules: string[] }>();
  let current: { chains: string[]; rules: string[] } | undefined;
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) {
      current = { chains: [], rules: [] };
      tables.set(line.slice(1), current);
    } else if (line.startsWith(':')) current?.chains.push(line.slice(1).split(' ')[0] ?? '');
    else if (line.startsWith('-A ')) current?.rules.push(line);
  }
  return tables;
}

/** What is being compared and changed. */
export interface IptablesChange {
  readonly saved: SavedTables;
  /** What is to stand there; empty to clean up. */
  readonly wanted: readonly CaptureRule[];
  /**
   * Rules that some earlier run may have put into the built-in chains, under another mode say. Those of them that stand there
   * are ours to delete; jumps to our chains always are.
   */
  readonly possible: readonly CaptureRule[];
  readonly family: IpFamily;
}

/** Whether the kernel holds exactly the wanted rules of ours, in order. Rules of others between them do not matter. */
export function isInPlace(change: IptablesChange): boolean {
  return RULE_TABLES.every((table) => {
    const wanted = rulesOf(change.wanted, table, change.family).map((rule) =>
      normalizeIptablesRule(toIptablesRule(rule)),
    );
    const saved = savedOwnRules(change, table).map(normalizeIptablesRule);
    return saved.length === wanted.length && byChain(saved) === byChain(wanted);
  });
}

/** Whether anything of ours is in the kernel. */
export function hasResidue(change: IptablesChange): boolean {
  return RULE_TABLES.some(
    (table) => savedOwnRules(change, table).length > 0 || savedOwnChains(change, table).length > 0,
  );
}

/**
 * The change as text for `iptables-restore --noflush`, each table one transaction: our chains are emptied, our rules in the
 * built-in chains deleted, and the wanted ones added.
 *
 * @returns Empty when there is nothing to do.
 */
export function buildRestoreText(change: IptablesChange): string {
  return RULE_TABLES.map((table) => buildTable(change, table)).join('');
}

/** The wanted rules alone, as one reads them: what `--dry-run` prints. */
export function printIptablesRules(rules: readonly CaptureRule[], family: IpFamily): string {
  return buildRestoreText({ saved: new Map(), wanted: rules, possible: [], family });
}

function buildTable(change: IptablesChange, table: RuleTable): string {
  const wanted = rulesOf(change.wanted, table, change.family);
  const chains = ownChains(wanted);
  const old = savedOwnChains(change, table).filter((chain) => !chains.includes(chain));
  const removals = savedOwnRules(change, table).filter((line) => !line.startsWith(`-A ${OWN_CHAIN_PREFIX}`));
  if (wanted.length + old.length + removals.length === 0) return '';
  return [
    `*${table}`,
    // Naming a chain of our own makes it, or empties it.
    ...[...chains, ...old].map((chain) => `:${chain} - [0:0]`),
    ...removals.map((line) => line.replace(/^-A/, '-D')),
    ...toCommands(wanted),
    ...old.map((chain) => `-X ${chain}`),
    'COMMIT',
    '',
  ].join('\n');
}

/** Rules that come first are inserted, each at its place; the others are appended. */
function toCommands(rules: readonly CaptureRule[]): readonly string[] {
  let firstCount = 0;
  return rules.map((rule) => {
    const text = toIptablesRule(rule);
    if (rule.isFirst !== true) return text;
    firstCount += 1;
    return text.replace(`-A ${rule.chain}`, `-I ${rule.chain} ${firstCount}`);
  });
}

function savedOwnChains({ saved }: IptablesChange, table: RuleTable): readonly string[] {
  return (saved.get(table)?.chains ?? []).filter((chain) => chain.startsWith(OWN_CHAIN_PREFIX));
}

function savedOwnRules(change: IptablesChange, table: RuleTable): readonly string[] {
  const mine = new Set(
    [...change.wanted, ...change.possible]
      .filter((rule) => rule.table === table && (rule.family ?? change.family) === change.family)
      .map((rule) => normalizeIptablesRule(toIptablesRule(rule))),
  );
  return (change.saved.get(table)?.rules ?? []).filter(
    (line) =>
      line.startsWith(`-A ${OWN_CHAIN_PREFIX}`) ||
      line.includes(` -j ${OWN_CHAIN_PREFIX}`) ||
      mine.has(normalizeIptablesRule(line)),
  );
}

/** Rules of one chain keep their order; how the chains themselves are ordered says nothing. */
function byChain(rules: readonly string[]): string {
  const chainOf = (rule: string): string => rule.split(' ')[1] ?? '';
  return [...rules]
    .sort((left, right) => (chainOf(left) < chainOf(right) ? -1 : chainOf(left) > chainOf(right) ? 1 : 0))
    .join('\n');
}
