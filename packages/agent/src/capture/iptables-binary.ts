import { MeltemiError } from '@meltemi/base';
import type { IpFamily } from './rule-model.ts';
import type { RunProgram } from './run-program.ts';

/** Names of the programs that read and write one family's rules. */
export interface IptablesPrograms {
  readonly save: string;
  readonly restore: string;
}

/** The two implementations, which do not see each other's rules. */
const VARIANTS = ['legacy', 'nft'] as const;

/**
 * Chooses the implementation that holds rules already: rules in both would be applied twice, in an order that nobody chose.
 *
 * @param forced `legacy`, `nft`, or empty to look.
 * @throws MeltemiError `CAPTURE_INVALID` for another name.
 */
export async function resolveIptables(run: RunProgram, family: IpFamily, forced: string): Promise<IptablesPrograms> {
  const prefix = family === 'v4' ? 'iptables' : 'ip6tables';
  const named = (variant: string): IptablesPrograms => ({
    save: `${prefix}-${variant}-save`,
    restore: `${prefix}-${variant}-restore`,
  });
  if (forced !== '') {
    if (VARIANTS.some((variant) => variant === forced)) return named(forced);
    throw new MeltemiError(
      'CAPTURE_INVALID',
      `Cannot read --force-iptables-binary: "${forced}" was given; it is legacy or nft`,
    );
  }
  const [legacy, nft] = await Promise.all(VARIANTS.map((variant) => holdsRules(run, named(variant).save)));
  // With rules in neither or both, the system's own choice stands.
  if (legacy === nft) return { save: `${prefix}-save`, restore: `${prefix}-restore` };
  return named(legacy ? 'legacy' : 'nft');
}

/** A variant that is not installed, or that this kernel does not know, holds none. */
async function holdsRules(run: RunProgram, save: string): Promise<boolean> {
  return run(save, []).then(
    (text) => /^-A /m.test(text),
    () => false,
  );
}
