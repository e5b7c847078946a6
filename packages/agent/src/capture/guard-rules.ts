/**
 * Text for `iptables-restore --noflush`: nothing goes in or out while rules are replaced table by table. Between two tables a
 * connection could otherwise pass by the sidecar, in the clear.
 */
export const GUARD_RULES: string = buildGuard((chain, protocol) => `-I ${chain} 1 -p ${protocol} -j DROP`);

/** Takes {@link GUARD_RULES} away again. */
export const GUARD_RULES_REMOVED: string = buildGuard((chain, protocol) => `-D ${chain} -p ${protocol} -j DROP`);

function buildGuard(toRule: (chain: string, protocol: string) => string): string {
  const rules = ['INPUT', 'FORWARD', 'OUTPUT'].flatMap((chain) =>
    ['tcp', 'udp'].map((protocol) => toRule(chain, protocol)),
  );
  return ['*filter', ...rules, 'COMMIT', ''].join('\n');
}
