/** Address family of a rule; rules without one hold for both. */
export type IpFamily = 'v4' | 'v6';

/** Tables that capture uses, in the order in which packets meet them. */
export const RULE_TABLES = ['raw', 'mangle', 'nat'] as const;
/** One of {@link RULE_TABLES}. */
export type RuleTable = (typeof RULE_TABLES)[number];

/** What a packet has to be like for a rule to hold. */
export type Match =
  | { readonly kind: 'protocol'; readonly protocol: 'tcp' | 'udp' }
  | { readonly kind: 'interface'; readonly direction: 'in' | 'out'; readonly name: string }
  | {
      readonly kind: 'address';
      readonly side: 'source' | 'destination';
      readonly cidr: string;
      readonly isNegated?: boolean;
    }
  | {
      readonly kind: 'port';
      readonly side: 'source' | 'destination';
      readonly ports: readonly number[];
      readonly isNegated?: boolean;
    }
  | {
      readonly kind: 'owner';
      readonly by: 'uid' | 'gid';
      /** A number, or a name that the system's own tables know. */
      readonly id: string;
      readonly isNegated?: boolean;
    }
  | {
      readonly kind: 'mark';
      readonly of: 'packet' | 'connection';
      readonly mark: number;
      readonly isNegated?: boolean;
    }
  | { readonly kind: 'state'; readonly states: readonly ('INVALID' | 'RELATED' | 'ESTABLISHED')[] };

/** What becomes of a packet that matches. */
export type Verdict =
  | { readonly kind: 'return' | 'accept' | 'drop' | 'save-mark' | 'restore-mark' }
  | { readonly kind: 'jump'; readonly chain: string }
  | { readonly kind: 'redirect'; readonly port: number }
  | { readonly kind: 'tproxy'; readonly port: number; readonly mark: number }
  | { readonly kind: 'set-mark'; readonly mark: number }
  | { readonly kind: 'zone'; readonly zone: number };

/** One rule. Within a chain the order of rules is what gives them their meaning. */
export interface CaptureRule {
  readonly family?: IpFamily;
  readonly table: RuleTable;
  /** `PREROUTING`, `OUTPUT`, or a chain of our own, by its iptables name. */
  readonly chain: string;
  readonly matches: readonly Match[];
  readonly verdict: Verdict;
  /** Has to come before the rules that others put into this built-in chain. */
  readonly isFirst?: boolean;
}

/** Everything that is to stand in the kernel, in order. */
export interface CaptureRules {
  readonly rules: readonly CaptureRule[];
  readonly families: readonly IpFamily[];
  /** Routes of transparent capture; `undefined` without it. */
  readonly transparentRoutes: { readonly mark: number; readonly routeTable: number } | undefined;
}

/** Prefix of every chain of our own. */
export const OWN_CHAIN_PREFIX = 'ISTIO_';

/** The rules of one table and family, in order. */
export function rulesOf(rules: readonly CaptureRule[], table: RuleTable, family: IpFamily): readonly CaptureRule[] {
  return rules.filter((rule) => rule.table === table && (rule.family ?? family) === family);
}

/** The chains of our own that some rules use, in the order of their first use. */
export function ownChains(rules: readonly CaptureRule[]): readonly string[] {
  const named = rules.flatMap(({ chain, verdict }) => (verdict.kind === 'jump' ? [chain, verdict.chain] : [chain]));
  return [...new Set(named.filter((chain) => chain.startsWith(OWN_CHAIN_PREFIX)))];
}

/** Matches TCP. */
export const TCP: Match = { kind: 'protocol', protocol: 'tcp' };
/** Matches UDP. */
export const UDP: Match = { kind: 'protocol', protocol: 'udp' };
/** Matches what leaves through the loopback interface. */
export const OUT_LOOPBACK: Match = { kind: 'interface', direction: 'out', name: 'lo' };
/** Matches what arrives through the loopback interface. */
export const IN_LOOPBACK: Match = { kind: 'interface', direction: 'in', name: 'lo' };
/** Leaves the chain. */
export const RETURN: Verdict = { kind: 'return' };

/** Matches destination ports. */
export function toPort(...ports: readonly number[]): Match {
  return { kind: 'port', side: 'destination', ports };
}

/** Matches every other destination port. */
export function notToPort(...ports: readonly number[]): Match {
  return { kind: 'port', side: 'destination', ports, isNegated: true };
}

/** Matches a destination range. */
export function toAddress(cidr: string): Match {
  return { kind: 'address', side: 'destination', cidr };
}

/** Goes on in another chain. */
export function jump(chain: string): Verdict {
  return { kind: 'jump', chain };
}
