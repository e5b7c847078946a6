import type { CaptureOptions, TrafficOwner } from './capture-options.ts';
import { type CaptureRule, type IpFamily, type Match, RETURN } from './rule-model.ts';

/** How to tell traffic of the sidecar from that of others: one pair per user, then one per group. */
export interface OwnerMatch {
  readonly is: Match;
  readonly isNot: Match;
  readonly by: 'uid' | 'gid' | 'mark';
}

/** The pairs for an owner. */
export function ownerMatches(owner: TrafficOwner): readonly OwnerMatch[] {
  if (owner.kind === 'mark') {
    const is = { kind: 'mark', of: 'packet', mark: owner.mark } as const;
    return [{ is, isNot: { ...is, isNegated: true }, by: 'mark' }];
  }
  const match = (by: 'uid' | 'gid', id: number): OwnerMatch => {
    const is = { kind: 'owner', by, id: String(id) } as const;
    return { is, isNot: { ...is, isNegated: true }, by };
  };
  return [...owner.uids.map((uid) => match('uid', uid)), ...owner.gids.map((gid) => match('gid', gid))];
}

/** Source address of connections that the sidecar passes on to the application. */
export const PASSTHROUGH_SOURCE: Readonly<Record<IpFamily, string>> = { v4: '127.0.0.6/32', v6: '::6/128' };

/** The loopback range of a family. */
export function loopbackOf(options: CaptureOptions, family: IpFamily): string {
  return family === 'v4' ? options.ipv4LoopbackCidr : '::1/128';
}

/** The same rule in every family, with the family's own addresses. */
export function forEachFamily(
  { families }: CaptureOptions,
  build: (family: IpFamily) => Omit<CaptureRule, 'family'>,
): readonly CaptureRule[] {
  return families.map((family) => ({ ...build(family), family }));
}

/** Which groups' traffic is left alone. */
export function ownerGroupRules({ ownerGroups: { kind, groups } }: CaptureOptions): readonly CaptureRule[] {
  const rule = (matches: readonly Match[]): CaptureRule => ({
    table: 'nat',
    chain: 'ISTIO_OUTPUT',
    matches,
    verdict: RETURN,
  });
  const ofGroup = (id: string): Match => ({ kind: 'owner', by: 'gid', id });
  if (kind === 'except') return groups.map((group) => rule([ofGroup(group)]));
  return [rule(groups.map((group) => ({ ...ofGroup(group), isNegated: true })))];
}
