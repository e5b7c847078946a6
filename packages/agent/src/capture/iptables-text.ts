import type { CaptureRule, Match, Verdict } from './rule-model.ts';

/** A rule as `iptables-restore` reads it: `-A CHAIN matches -j TARGET`. */
export function toIptablesRule({ chain, matches, verdict }: CaptureRule): string {
  return [`-A ${chain}`, ...matches.map(toMatch), toTarget(verdict)].join(' ');
}

function toMatch(match: Match): string {
  switch (match.kind) {
    case 'protocol':
      return `-p ${match.protocol}`;
    case 'interface':
      return `-${match.direction === 'in' ? 'i' : 'o'} ${match.name}`;
    case 'address':
      return `${not(match)}-${match.side === 'source' ? 's' : 'd'} ${match.cidr}`;
    case 'port':
      return toPortMatch(match);
    case 'owner':
      return `-m owner ${not(match)}--${match.by}-owner ${match.id}`;
    case 'mark':
      return `-m ${match.of === 'packet' ? 'mark' : 'connmark'} ${not(match)}--mark ${match.mark}`;
    case 'state':
      return `-m conntrack --ctstate ${match.states.join(',')}`;
  }
}

function toPortMatch({ side, ports, isNegated }: Extract<Match, { kind: 'port' }>): string {
  const option = side === 'source' ? '--sport' : '--dport';
  const several = ports.length > 1;
  return `${several ? '-m multiport ' : ''}${not({ isNegated })}${option}${several ? 's' : ''} ${ports.join(',')}`;
}

function not({ isNegated }: { readonly isNegated?: boolean | undefined }): string {
  return isNegated === true ? '! ' : '';
}

function toTarget(verdict: Verdict): string {
  switch (verdict.kind) {
    case 'return':
    case 'accept':
    case 'drop':
      return `-j ${verdict.kind.toUpperCase()}`;
    case 'jump':
      return `-j ${verdict.chain}`;
    case 'redirect':
      return `-j REDIRECT --to-ports ${verdict.port}`;
    case 'tproxy':
      return `-j TPROXY --tproxy-mark ${verdict.mark}/0xffffffff --on-port ${verdict.port}`;
    case 'set-mark':
      return `-j MARK --set-mark ${verdict.mark}`;
    case 'save-mark':
      return '-j CONNMARK --save-mark';
    case 'restore-mark':
      return '-j CONNMARK --restore-mark';
    case 'zone':
      return `-j CT --zone ${verdict.zone}`;
  }
}

/** Options that say nothing: they repeat the protocol, or name the default. */
const IMPLIED = /^-m (tcp|udp)$|^--on-ip |^--nfmask 0xffffffff$|^--ctmask 0xffffffff$/;

/**
 * Brings a rule into a form in which two rules that mean the same are the same text, whoever wrote them: `iptables-save` of
 * either kind, a person, or {@link toIptablesRule}.
 *
 * @param line Begins with `-A CHAIN`. What is not understood is kept, so that it differs rather than being taken for equal.
 */
export function normalizeIptablesRule(line: string): string {
  const [, chain = '', rest = ''] = /^-A (\S+) ?(.*)$/.exec(line.trim()) ?? [];
  const options = splitOptions(rest).filter((option) => !IMPLIED.test(option));
  const target = options.findIndex((option) => option.replace(/^! /, '').startsWith('-j '));
  const matches = (target < 0 ? options : options.slice(0, target)).map(normalizeOption);
  const verdict = (target < 0 ? [] : options.slice(target)).map(normalizeOption);
  return [`-A ${chain}`, ...[...new Set(matches)].sort(), ...sortTarget(verdict)].join(' ');
}

/** Options with their values; a `!` belongs to what follows it, and `-m` to nothing. */
function splitOptions(text: string): readonly string[] {
  const options: string[] = [];
  let isNegated = false;
  for (const word of text.split(/\s+/).filter((part) => part !== '')) {
    if (word === '!') {
      isNegated = true;
    } else if (/^--?[a-z]/i.test(word)) {
      options.push(isNegated ? `! ${word}` : word);
      isNegated = false;
    } else options.push(`${options.pop() ?? ''} ${word}`);
  }
  return options;
}

function normalizeOption(option: string): string {
  return option
    .replace('--set-xmark', '--set-mark')
    .replace('--to-port ', '--to-ports ')
    .replace(/0x[0-9a-f]+/g, (hex) => String(Number(hex)))
    .replace(/(mark \d+)\/4294967295$/, '$1')
    .replace(/(--(?:ctstate|dports|sports)) (\S+)/, (_all, name: string, list: string) => {
      return `${name} ${list.split(',').sort().join(',')}`;
    });
}

function sortTarget([jump, ...options]: readonly string[]): readonly string[] {
  return jump === undefined ? [] : [jump, ...options.sort()];
}
