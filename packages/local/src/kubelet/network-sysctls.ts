import type { Pod } from '@meltemi/kube';

/** Those of a network's namespace that Kubernetes lets every pod set; others concern the whole machine. */
const SAFE_SYSCTLS: ReadonlySet<string> = new Set(
  [
    'ip_local_port_range',
    'ip_local_reserved_ports',
    'ip_unprivileged_port_start',
    'ping_group_range',
    'tcp_fin_timeout',
    'tcp_keepalive_intvl',
    'tcp_keepalive_probes',
    'tcp_keepalive_time',
    'tcp_rmem',
    'tcp_syncookies',
    'tcp_wmem',
  ].map((name) => `net.ipv4.${name}`),
);

/**
 * The kernel's settings that a pod asks for in its `securityContext`.
 *
 * @throws Error that names a setting which no pod may have here.
 */
export function networkSysctls({ spec }: Pod): ReadonlyMap<string, string> {
  const wanted = spec.securityContext?.sysctls ?? [];
  const forbidden = wanted.find(({ name }) => !SAFE_SYSCTLS.has(name));
  if (forbidden !== undefined)
    throw new Error(`forbidden sysctl: "${forbidden.name}" is not one of ${[...SAFE_SYSCTLS].join(', ')}; remove it`);
  return new Map(wanted.map(({ name, value }) => [name, value]));
}
