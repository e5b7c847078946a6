import { MeltemiError, messageOf } from '@meltemi/base';
import type { CaptureOptions } from './capture-options.ts';
import { buildCaptureRules, buildPossibleRules } from './capture-rules.ts';
import { buildGuardRemoval, GUARD_RULES } from './guard-rules.ts';
import { buildRestoreText, hasResidue, type IptablesChange, isInPlace, parseIptablesSave } from './iptables-apply.ts';
import { type IptablesPrograms, resolveIptables } from './iptables-binary.ts';
import { nftRulesByChain, parseNftListing, toNftRemoval, toNftTransaction } from './nftables-text.ts';
import type { CaptureRule, CaptureRules, IpFamily } from './rule-model.ts';
import type { RunProgram } from './run-program.ts';
import {
  addPassthroughAddress,
  addTransparentRoutes,
  removeTransparentRoutes,
  type TransparentRoutes,
} from './transparent-routes.ts';

/** How rules get into the kernel. */
export interface ApplySettings {
  readonly options: CaptureOptions;
  readonly usesNftables: boolean;
  /** `legacy`, `nft`, or empty for the implementation in use. */
  readonly iptablesVariant: string;
  /** Blocks traffic while rules that differ are replaced. */
  readonly reconciles: boolean;
  /** Applies rules that are in place all the same. */
  readonly isForced: boolean;
  readonly run: RunProgram;
}

const FAMILIES: readonly IpFamily[] = ['v4', 'v6'];

/** What happened, for the log. */
export type ApplyOutcome = 'applied' | 'replaced' | 'in place';

/**
 * Puts the rules into the kernel. A second run changes nothing; a run after rules have changed replaces ours and leaves those
 * of others.
 *
 * @throws MeltemiError `CAPTURE_FAILED` with what the kernel's tool said.
 */
export async function applyCapture(settings: ApplySettings): Promise<ApplyOutcome> {
  const rules = buildCaptureRules(settings.options);
  const outcome = settings.usesNftables ? await applyNftables(rules, settings) : await applyIptables(rules, settings);
  if (rules.families.includes('v6')) await addPassthroughAddress(settings.run);
  if (rules.transparentRoutes !== undefined)
    await addTransparentRoutes(settings.run, rules.transparentRoutes, rules.families);
  else if (outcome === 'replaced') await removeTransparentRoutes(settings.run, routesOf(settings.options));
  return outcome;
}

/** Removes rules and routes of any earlier run. */
export async function removeCapture(settings: ApplySettings): Promise<void> {
  const { options, run } = settings;
  if (settings.usesNftables) await run('nft', ['-f', '-'], toNftRemoval());
  else {
    await forEachFamily(settings, async (family) => {
      const { change, programs } = await readFamily(family, [], settings);
      await restore(run, programs, buildRestoreText(change) + buildGuardRemoval(change.saved));
    });
  }
  await removeTransparentRoutes(run, routesOf(options));
}

function routesOf({ tproxyMark, tproxyRouteTable }: CaptureOptions): TransparentRoutes {
  return { mark: tproxyMark, routeTable: tproxyRouteTable };
}

async function applyNftables(rules: CaptureRules, { run, isForced }: ApplySettings): Promise<ApplyOutcome> {
  const listing = parseNftListing(await run('nft', ['-s', 'list', 'ruleset']));
  if (!isForced && isSame(listing, nftRulesByChain(rules))) return 'in place';
  await run('nft', ['-f', '-'], toNftTransaction(rules));
  return listing.size === 0 ? 'applied' : 'replaced';
}

function isSame(left: ReadonlyMap<string, readonly string[]>, right: ReadonlyMap<string, readonly string[]>): boolean {
  const text = (chains: typeof left): string => JSON.stringify([...chains].sort(([a], [b]) => (a < b ? -1 : 1)));
  return text(left) === text(right);
}

/** A family's programs, and what is to change with them. */
interface FamilyState {
  readonly programs: IptablesPrograms;
  readonly change: IptablesChange;
}

async function applyIptables(rules: CaptureRules, settings: ApplySettings): Promise<ApplyOutcome> {
  const { run, isForced } = settings;
  const states = await readState(rules, settings);
  const drifted = states.filter(({ change }) => isForced || !isInPlace(change));
  const isReplaced = drifted.some(({ change }) => hasResidue(change));
  const guarded = isReplaced && settings.reconciles ? drifted : [];
  try {
    for (const { programs } of guarded) await restore(run, programs, GUARD_RULES);
    for (const { programs, change } of drifted) await restore(run, programs, buildRestoreText(change));
  } finally {
    // Last, so that what an earlier run has left closed stays closed until traffic is captured.
    await removeGuards(settings);
  }
  if (drifted.length === 0) return 'in place';
  return isReplaced ? 'replaced' : 'applied';
}

/** Opens every family again, also after an earlier run that was killed behind its guard. */
async function removeGuards(settings: ApplySettings): Promise<void> {
  const { run, iptablesVariant } = settings;
  await forEachFamily(settings, async (family) => {
    try {
      const programs = await resolveIptables(run, family, iptablesVariant);
      await restore(run, programs, buildGuardRemoval(parseIptablesSave(await run(programs.save, []))));
    } catch (cause) {
      const remedy = 'traffic may be blocked until istio-iptables runs again, with --cleanup-only say';
      throw new MeltemiError('CAPTURE_FAILED', `Cannot take the guard away: ${messageOf(cause)}; ${remedy}`, { cause });
    }
  });
}

/**
 * Works on one family after the other, on each whatever becomes of the other. An earlier run may have had a family that this
 * one has not: a machine without it has no rules of it, and its failure does not count.
 */
async function forEachFamily({ options }: ApplySettings, work: (family: IpFamily) => Promise<void>): Promise<void> {
  const failures: unknown[] = [];
  for (const family of FAMILIES) {
    try {
      await work(family);
    } catch (error) {
      if (options.families.includes(family)) failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}

function readState({ families, rules }: CaptureRules, settings: ApplySettings): Promise<readonly FamilyState[]> {
  return Promise.all(families.map((family) => readFamily(family, rules, settings)));
}

async function readFamily(
  family: IpFamily,
  wanted: readonly CaptureRule[],
  { run, iptablesVariant, options }: ApplySettings,
): Promise<FamilyState> {
  const programs = await resolveIptables(run, family, iptablesVariant);
  const saved = parseIptablesSave(await run(programs.save, []));
  return { programs, change: { saved, wanted, possible: buildPossibleRules(options), family } };
}

async function restore(run: RunProgram, { restore: program }: IptablesPrograms, text: string): Promise<void> {
  if (text !== '') await run(program, ['-w', '10', '--noflush'], text);
}
