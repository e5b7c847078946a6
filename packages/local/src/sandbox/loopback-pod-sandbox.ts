import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { environmentVariables } from './environment-processes.ts';
import { applicationAddress, LOOPBACK_DNS_PORT } from './loopback-addresses.ts';
import { dieWithParent } from './loopback-node-sandbox.ts';
import { findProcPid } from './process-table.ts';
import type { ContainerSpec, PodSandbox } from './sandbox.ts';

/** A working directory means one below the container's own root, else the machine's. */
const SCRIPT = `cd "$MELTEMI_ROOT$1" 2>/dev/null || cd "$1" || { echo "Cannot start: there is no working directory $1" >&2; exit 128; }
PATH=$2
export PATH
shift 2
exec "$@"`;

/** Options of {@link createLoopbackPodSandbox}. */
export interface LoopbackPodSandboxOptions {
  /** On a tmpfs, short (paths of Unix sockets have 107 bytes), empty when the environment starts. */
  readonly directory: string;
  /** Absolute path of the environment's folder. */
  readonly environment: string;
  readonly podCidr: string;
  readonly dnsIp: string;
  /** `PATH` in which the system's programs are found. */
  readonly path: string;
}

/**
 * Pods as pairs of loopback addresses, containers as plain processes.
 *
 * There is no root of a container's own: a folder named by `MELTEMI_ROOT` holds its mounts as links, by the paths that
 * the manifest gives them. Mounts cannot be read-only there, and every pod can read and reach every other.
 */
export function createLoopbackPodSandbox(options: LoopbackPodSandboxOptions): PodSandbox {
  const { directory, environment, podCidr, dnsIp, path } = options;
  const prefix = dieWithParent(path);
  const podMarker = (uid: string): string => join(directory, 'p', uid);
  // The key itself would leave too little of the 107 bytes for the sockets below the root.
  const rootPath = (key: string): string =>
    join(directory, 'r', createHash('sha256').update(key).digest('hex').slice(0, 10));
  return {
    containerEnv: ({ key, podIp, port }) => ({
      ...environmentVariables(environment),
      MELTEMI_ROOT: rootPath(key),
      MELTEMI_POD_ADDRESS: podIp,
      MELTEMI_APP_ADDRESS: applicationAddress(podIp, podCidr),
      MELTEMI_NAME_SERVER: `${dnsIp}:${LOOPBACK_DNS_PORT}`,
      HOME: rootPath(key),
      HOST: podIp,
      ...(port === undefined ? {} : { PORT: String(port) }),
    }),
    // Nothing has to be made: the marker says that this pod was started in this run of the environment.
    async createPodNetwork({ uid }) {
      mkdirSync(podMarker(uid), { recursive: true });
    },
    hasPodNetwork: (uid) => existsSync(podMarker(uid)),
    async removePodNetwork({ uid }) {
      rmSync(podMarker(uid), { recursive: true, force: true });
    },
    prepareContainer(spec) {
      layOutRoot(rootPath(spec.key), spec);
      return [...prefix, 'sh', '-c', SCRIPT, 'sh', spec.workingDir, spec.path, ...spec.argv];
    },
    // Links are removed as links: what they point to stays.
    releaseContainer: (key) => rmSync(rootPath(key), { recursive: true, force: true }),
    execCommand({ pid, argv, path: containerPath, workingDir }) {
      if (findProcPid(pid) === undefined) return undefined;
      return [...prefix, 'sh', '-c', SCRIPT, 'sh', workingDir, containerPath, ...argv];
    },
  };
}

/**
 * Mounts become links; outer ones first, so that a mount inside another ends up in the outer one's folder. What that
 * folder has under the same name already stays. The container's own /etc/hosts and the like are left out: nobody would
 * look for them here.
 */
function layOutRoot(root: string, { mounts }: ContainerSpec): void {
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root, { recursive: true, mode: 0o700 });
  for (const { source, target } of [...mounts].sort((left, right) => left.target.length - right.target.length)) {
    const link = join(root, target);
    mkdirSync(dirname(link), { recursive: true });
    if (!existsSync(link)) symlinkSync(source, link);
  }
}
