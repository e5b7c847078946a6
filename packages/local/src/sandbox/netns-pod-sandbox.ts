import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { prepareContainerRoot } from './container-root.ts';
import { identityCommand } from './identity-command.ts';
import { parseMountTable } from './mount-table.ts';
import { createPodNetworks, podNamespacePath } from './pod-network.ts';
import { findProcPid } from './process-table.ts';
import type { RunCommand } from './run-command.ts';
import type { ContainerMount, PodSandbox } from './sandbox.ts';

/**
 * The end of the chain of programs that becomes the container; each replaces the one before, so that the pid stays.
 * Ports below 1024 are opened to everyone, since no process here has another identity than the sandbox's own.
 * Connections in the queue of a proxy's worker move to another when it ends, where the kernel can do that.
 * Exit code 128 says that the container itself was never started.
 */
const START_SCRIPT = `fail() { echo "Cannot start the container: $1" >&2; exit 128; }
echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start || fail "ip_unprivileged_port_start was refused"
[ ! -e /proc/sys/net/ipv4/tcp_migrate_req ] || echo 1 > /proc/sys/net/ipv4/tcp_migrate_req 2>/dev/null || :
hostname "$1" || fail "the host name was refused"
mount -a -T "$2" || fail "a mount was refused"
cd "$3" && pivot_root . .old && umount -l /.old || fail "the root could not be changed"
cd "$4" || fail "there is no working directory $4"
PATH=$5
export PATH
shift 5
exec "$@"`;

/** Part of the start script, and so of the command line of every program in that chain but the container's own. */
const START_MARK = 'Cannot start the container';

/** Waits until the container's own program runs: before that its process is still in other namespaces, or in some. */
const AWAIT_SCRIPT = `while grep -qa "${START_MARK}" "/proc/$1/cmdline"; do sleep 0.02; done
shift
exec "$@"`;

const EXEC_SCRIPT = `cd "$1" || exit 126
PATH=$2
export PATH
shift 2
exec "$@"`;

/** Options of {@link createNetnsPodSandbox}. */
export interface NetnsPodSandboxOptions {
  readonly run: RunCommand;
  readonly gatewayIp: string;
  /** A directory on the environment's own tmpfs; see `prepareContainerRoot`. */
  readonly directory: string;
  /** Shown to every container: caches that all share. */
  readonly sharedMounts: readonly ContainerMount[];
  /** Whether this runs inside a user namespace. */
  readonly rootless: boolean;
  /** Sidecars are told apart by the users that they run as, as on Kubernetes; otherwise by a mark of their sockets. */
  readonly userIds: boolean;
}

/** Pods as network namespaces, containers as processes with their own mount and uts namespaces. */
export function createNetnsPodSandbox(options: NetnsPodSandboxOptions): PodSandbox {
  const { run, gatewayIp, directory, sharedMounts, rootless, userIds } = options;
  const networks = createPodNetworks({ run, gatewayIp });
  const mountTable = parseMountTable(readFileSync('/proc/self/mountinfo', 'utf8'));
  return {
    // See the rules of `istio-iptables`.
    containerEnv: () => (userIds ? {} : { MELTEMI_SO_MARK: '1337' }),
    createPodNetwork: ({ uid, ip, sysctls }) => networks.create({ uid, ip }, sysctls),
    hasPodNetwork: (podUid) => networks.has(podUid),
    removePodNetwork: (pod) => networks.remove(pod),
    prepareContainer(spec) {
      const { rootPath, fstabPath } = prepareContainerRoot({
        directory: join(directory, spec.key),
        mounts: [...sharedMounts, ...spec.mounts],
        files: spec.files,
        mountTable,
        userxattr: rootless,
      });
      const enter = ['nsenter', `--net=${podNamespacePath(spec.podUid)}`, 'unshare', '-mu', '--propagation', 'private'];
      const script = ['sh', '-c', START_SCRIPT, 'sh', spec.hostname, fstabPath, rootPath, spec.workingDir, spec.path];
      return [...enter, ...script, ...identityCommand(spec.identity), ...spec.argv];
    },
    releaseContainer: (key) => rmSync(join(directory, key), { recursive: true, force: true }),
    execCommand({ pid, argv, path, workingDir, identity }) {
      const target = findProcPid(pid);
      if (target === undefined) return undefined;
      const enter = ['nsenter', '-t', String(target), '-n', '-m', '-u', '--'];
      const command = [
        ...enter,
        'sh',
        '-c',
        EXEC_SCRIPT,
        'sh',
        workingDir,
        path,
        ...identityCommand(identity),
        ...argv,
      ];
      return isStarting(target) ? ['sh', '-c', AWAIT_SCRIPT, 'sh', String(target), ...command] : command;
    },
  };
}

function isStarting(procPid: number): boolean {
  try {
    return readFileSync(`/proc/${procPid}/cmdline`, 'utf8').includes(START_MARK);
  } catch {
    // It has ended; entering it will say so.
    return false;
  }
}
