import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MeltemiError } from '@meltemi/base';
import type { NamespaceMode } from '../sandbox/inner-command.ts';
import type { ClusterLink, ClusterNetwork, SandboxKind } from '../sandbox/sandbox.ts';

/** One system process to be started on a cluster's node. */
export interface ComponentCommand {
  /** Unique in its cluster: `kubelet`. */
  readonly name: string;
  readonly argv: readonly string[];
  /** Number of an open descriptor of the supervisor's that the process gets as its descriptor 3. */
  readonly inheritedFd?: number | undefined;
}

/** One cluster of the environment, as the outer process hands it in. */
export interface ClusterConfig extends ClusterNetwork {
  /** `clusters/<name>` of the state directory: keys in `pki/`, one kubeconfig per component. */
  readonly dataDir: string;
  /** Number of the inherited descriptor that listens on the host for this cluster's API. */
  readonly hostListenFd?: number;
  readonly components: readonly ComponentCommand[];
}

/** Where sockets, volumes in memory and containers' roots lie: in namespaces, the environment has a /run of its own. */
export const RUNTIME_DIRECTORY = '/run/meltemi';

/** Everything that the supervisor is told by the process that starts it. */
export interface SupervisorConfig {
  /** Absolute path of `DIR/.meltemi`. */
  readonly stateDir: string;
  /** Which kind of sandbox the nodes and pods get. */
  readonly sandbox: SandboxKind;
  /** What the probe found, for `netns`: it was started with `innerCommand(mode, …)`. */
  readonly mode?: NamespaceMode;
  /** For `loopback`: a short path on a tmpfs, made for this run. In namespaces it is {@link RUNTIME_DIRECTORY}. */
  readonly runtimeDirectory?: string;
  /** `PATH` with the system's administration programs, from the probe. */
  readonly path: string;
  readonly clusters: readonly ClusterConfig[];
  /** Pairs of clusters with a route between them; default: every pair. */
  readonly links?: readonly ClusterLink[];
  /** Levels of the components' logs, as `--log-level` takes them; default: `info`. */
  readonly logLevel?: string;
}

/** Where kubelets find the supervisor. On the environment's tmpfs: paths of sockets are limited to 107 bytes. */
export function supervisorSocket(runtimeDirectory: string = RUNTIME_DIRECTORY): string {
  return join(runtimeDirectory, 'supervisor.sock');
}

/**
 * Reads the file named by `--config`. It is written by the outer process of the same build, so that only its presence
 * and its being JSON are checked.
 */
export function readSupervisorConfig(path: string): SupervisorConfig {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as SupervisorConfig;
  } catch (error) {
    throw new MeltemiError('SUPERVISOR_CONFIG', `Cannot read the supervisor's configuration ${path}`, { cause: error });
  }
}

/** Every pair of the clusters. */
export function allLinks(clusters: readonly ClusterNetwork[]): readonly ClusterLink[] {
  return clusters.flatMap((left, index) =>
    clusters.slice(index + 1).map((right): ClusterLink => [left.cluster, right.cluster]),
  );
}
