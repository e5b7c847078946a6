import type { SavedTables } from './iptables-apply.ts';

const TABLE = 'filter';
const CHAIN = 'ISTIO_GUARD';

/**
 * Text for `iptables-restore --noflush`: nothing goes in or out while rules are replaced table by table. Between two tables a
 * connection could otherwise pass by the sidecar, in the clear. The rules are in a chain of our own, so that a later run
 * knows what an earlier one has left behind.
 */
export const GUARD_RULES: string = toText([
  // Naming a chain of our own makes it, or empties it.
  `:${CHAIN} - [0:0]`,
  ...['tcp', 'udp'].map((protocol) => `-A ${CHAIN} -p ${protocol} -j DROP`),
  ...['INPUT', 'FORWARD', 'OUTPUT'].map((chain) => `-I ${chain} 1 -j ${CHAIN}`),
]);

/**
 * Text that takes {@link GUARD_RULES} away, also those of earlier runs, however many jumps stand there.
 *
 * @returns Empty when there is no guard.
 */
export function buildGuardRemoval(saved: SavedTables): string {
  const { chains = [], rules = [] } = saved.get(TABLE) ?? {};
  if (!chains.includes(CHAIN)) return '';
  const jumps = rules.filter((rule) => rule.endsWith(` -j ${CHAIN}`));
  return toText([`:${CHAIN} - [0:0]`, ...jumps.map((rule) => rule.replace(/^-A/, '-D')), `-X ${CHAIN}`]);
}

function toText(lines: readonly string[]): string {
  return [`*${TABLE}`, ...lines, 'COMMIT', ''].join('\n');
}
