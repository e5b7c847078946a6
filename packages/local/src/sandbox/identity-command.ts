import type { ContainerIdentity } from './sandbox.ts';

/**
 * The command line that gives what follows it the identity. Empty without one.
 *
 * Images are programs of this machine, which may lie below a home directory that only its owner may enter: so every
 * identity may read and search all files (`CAP_DAC_READ_SEARCH`), which in a real container its image sees to. It may
 * not write them.
 */
export function identityCommand(identity: ContainerIdentity | undefined): readonly string[] {
  if (identity === undefined) return [];
  const { uid, gid, groups, capabilities } = identity;
  const held = ['dac_read_search', ...(uid === 0 ? capabilities.map((name) => name.toLowerCase()) : [])];
  const list = (names: readonly string[]): string => ['-all', ...new Set(names.map((name) => `+${name}`))].join(',');
  const inherited = uid === 0 ? [] : held;
  return [
    'setpriv',
    `--reuid=${uid}`,
    `--regid=${gid}`,
    groups.length === 0 ? '--clear-groups' : `--groups=${groups.join(',')}`,
    `--bounding-set=${list(held)}`,
    `--inh-caps=${list(inherited)}`,
    `--ambient-caps=${list(inherited)}`,
    '--',
  ];
}
