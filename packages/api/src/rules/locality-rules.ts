import { at, type FindingList } from '../finding.ts';
import type { LocalityLoadBalancerSetting } from '../kinds/shared-messages.ts';

/** Locality load balancing: shares sum to 100, failover names regions, one of the two. */
export function checkLocality(
  setting: LocalityLoadBalancerSetting | undefined,
  path: string,
  findings: FindingList,
): void {
  if (setting === undefined) return;
  const distribute = setting.distribute ?? [];
  const failover = setting.failover ?? [];
  if (distribute.length > 0 && (failover.length > 0 || (setting.failoverPriority ?? []).length > 0)) {
    findings.error(path, 'has distribute and failover; keep one of them');
  }
  distribute.forEach((entry, index) => {
    const entryPath = at(path, 'distribute', index);
    const weights = Object.entries(entry.to ?? {});
    for (const [locality, weight] of weights) {
      if (weight < 1 || weight > 100) {
        findings.error(`${entryPath}.to[${locality}]`, `is ${weight}, must be 1 to 100`);
      }
      checkWildcard(locality, `${entryPath}.to[${locality}]`, findings);
    }
    const total = weights.reduce((sum, [, weight]) => sum + weight, 0);
    if (total !== 100) findings.error(at(entryPath, 'to'), `weights sum to ${total}, must sum to 100`);
    checkWildcard(entry.from ?? '', at(entryPath, 'from'), findings);
  });
  failover.forEach((entry, index) => {
    const entryPath = at(path, 'failover', index);
    if (entry.from === entry.to) findings.error(entryPath, 'from and to are the same region; name another');
    for (const side of ['from', 'to'] as const) {
      if (/[*/]/.test(entry[side] ?? '')) {
        findings.error(at(entryPath, side), `must be a region alone, is "${entry[side]}"; zones and * are not allowed`);
      }
    }
  });
}

function checkWildcard(locality: string, path: string, findings: FindingList): void {
  const star = locality.indexOf('*');
  if (star >= 0 && star !== locality.length - 1) findings.error(path, '"*" is allowed at the end only');
}
