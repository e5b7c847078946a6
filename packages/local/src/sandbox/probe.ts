import { spawnSync } from 'node:child_process';
import { type NamespaceMode, unshareCommand } from './inner-command.ts';
import { findProgram, toSystemPath } from './system-path.ts';

/** Whether the `netns` sandbox works here, and how; or which step failed and what helps. */
export type ProbeResult =
  | { readonly ok: true; readonly mode: NamespaceMode; readonly path: string }
  | { readonly ok: false; readonly step: string; readonly reason: string; readonly remedy: string };

interface ProbeStep {
  readonly name: string;
  /** Shell commands; the step fails when one of them does. */
  readonly commands: string;
  readonly remedy: string;
}

const PROGRAMS: Readonly<Record<string, string>> = {
  setpriv: 'util-linux',
  unshare: 'util-linux',
  nsenter: 'util-linux',
  mount: 'util-linux (package mount)',
  umount: 'util-linux (package mount)',
  pivot_root: 'util-linux',
  hostname: 'hostname (package hostname or inetutils)',
  ip: 'iproute2',
  'iptables-restore': 'iptables',
};

const NAT_RULES = `*nat
-A OUTPUT -p tcp -m mark --mark 1337 -j RETURN
-A OUTPUT -p tcp -d 10.255.255.1 --dport 80 -m statistic --mode random --probability 0.5 -j DNAT --to-destination 10.255.255.2:8080
-A OUTPUT -p tcp -j REDIRECT --to-ports 15001
-A POSTROUTING -s 10.255.255.2/32 -d 10.255.255.2/32 -j MASQUERADE
COMMIT
`;

const OVERLAY_REMEDY = 'Linux 5.11 or newer is needed, with the overlay module loaded (as root: modprobe overlay)';

function probeSteps(mode: NamespaceMode): readonly ProbeStep[] {
  const userxattr = mode.root ? '' : ',userxattr';
  return [
    {
      name: 'mount a tmpfs on /run',
      commands: 'mount -t tmpfs tmpfs /run; mkdir -p /run/netns /run/u/etc /run/w /run/r/etc /run/r/.old',
      remedy: 'Allow mounts inside user namespaces (AppArmor: sysctl kernel.apparmor_restrict_unprivileged_userns=0)',
    },
    {
      name: 'bring up the loopback interface',
      commands: 'ip link set lo up',
      remedy: 'Allow unprivileged user namespaces (AppArmor: sysctl kernel.apparmor_restrict_unprivileged_userns=0)',
    },
    {
      name: 'write /proc/sys/net/ipv4/ip_forward',
      commands: 'echo 1 > /proc/sys/net/ipv4/ip_forward',
      remedy: 'Here /proc/sys is read-only, as in most containers: run outside of the container, or with --privileged',
    },
    {
      name: 'add a network namespace and a veth pair',
      commands: 'ip netns add probe; ip link add name va type veth peer name vb netns probe',
      remedy: 'Load the veth module (as root: modprobe veth)',
    },
    {
      name: 'load NAT rules with iptables-restore',
      commands: 'nsenter --net=/run/netns/probe iptables-restore <<RULES\n' + NAT_RULES + 'RULES\n',
      remedy: 'Load the modules (as root): modprobe -a nf_tables nft_compat xt_mark xt_REDIRECT xt_statistic xt_nat',
    },
    {
      name: 'overlay a directory and change the root',
      commands: `unshare -mu sh -ec 'mount --bind /run/r /run/r; mount -t overlay -o lowerdir=/etc,upperdir=/run/u/etc,workdir=/run/w${userxattr} overlay /run/r/etc; cd /run/r; pivot_root . .old'`,
      remedy: OVERLAY_REMEDY,
    },
  ];
}

/** Prints each step's number before its commands; the last number printed is the step that failed. */
function toScript(steps: readonly ProbeStep[]): string {
  return steps.map(({ commands }, index) => `echo ${index}\n${commands}`).join('\n');
}

function runProbe(mode: NamespaceMode, path: string): ProbeResult {
  const steps = probeSteps(mode);
  const [program, ...args] = unshareCommand(mode) as [string, ...string[]];
  const run = spawnSync(program, [...args, 'sh', '-ec', toScript(steps)], {
    env: { PATH: path },
    encoding: 'utf8',
    timeout: 10_000,
    killSignal: 'SIGKILL',
  });
  if (run.status === 0) return { ok: true, mode, path };
  const reason = run.error?.message ?? (run.stderr.trim() || `exit code ${run.status ?? run.signal}`);
  const reached = run.stdout.trim().split('\n').at(-1);
  const step = reached === undefined || reached === '' ? undefined : steps[Number(reached)];
  if (step !== undefined) return { ok: false, step: step.name, reason, remedy: step.remedy };
  return {
    ok: false,
    step: mode.root ? 'make namespaces' : 'make a user namespace',
    reason,
    remedy: mode.root
      ? 'CAP_SYS_ADMIN is needed: run outside of the container, or with --privileged'
      : 'Allow user namespaces: sysctl user.max_user_namespaces=15000; Debian: kernel.unprivileged_userns_clone=1; Ubuntu: kernel.apparmor_restrict_unprivileged_userns=0',
  };
}

/** Tries without a /proc of its own where mounting one is what failed. */
function probeMode(root: boolean, path: string): ProbeResult {
  const result = runProbe({ root, mountProc: true }, path);
  if (result.ok || !/mount \/proc failed/.test(result.reason)) return result;
  return runProbe({ root, mountProc: false }, path);
}

/**
 * Finds out whether pods can have network namespaces here, by doing once all that they need: about 15 ms.
 *
 * @param uid Numeric user id of this process. Root without the privilege to make namespaces is tried as a user too.
 * @param env Only `PATH` is looked at.
 */
export function probeNetns(uid: number, env: Readonly<Record<string, string | undefined>>): ProbeResult {
  const path = toSystemPath(env['PATH']);
  for (const [program, packageName] of Object.entries(PROGRAMS)) {
    if (findProgram(program, path) !== undefined) continue;
    return { ok: false, step: 'find the program', reason: `${program}: not found`, remedy: `Install ${packageName}` };
  }
  if (uid !== 0) return probeMode(false, path);
  const asRoot = probeMode(true, path);
  if (asRoot.ok) return asRoot;
  const asUser = probeMode(false, path);
  return asUser.ok ? asUser : asRoot;
}
