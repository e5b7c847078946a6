import { readFileSync } from 'node:fs';
import { MeltemiError } from '@meltemi/base';
import type { NamespaceMode } from '../sandbox/inner-command.ts';
import type { ClusterLink, ClusterNetwork } from '../sandbox/sandbox.ts';

/** One cluster of the environment, as the outer process hands it in. */
export interface ClusterConfig extends ClusterNetwork {
  /** `clusters/<name>` of the state directory: keys in `pki/`, one kubeconfig per component. */
  readonly dataDir: string;
  /** Number of the inherited descriptor that listens on the host for this cluster's API. */
  readonly hostListenFd?: number;
}

/** Everything that the supervisor is told by the process that starts it. */
export interface SupervisorConfig {
  /** Absolute path of `DIR/.meltemi`. */
  readonly stateDir: string;
  /** Which kind of sandbox the nodes and pods get. */
  readonly sandbox: 'netns';
  /** What the probe found: it was started with `innerCommand(mode, …)`. */
  readonly mode: NamespaceMode;
  /** `PATH` with the system's administration programs, from the probe. */
  readonly path: string;
  readonly clusters: readonly ClusterConfig[];
  /** Pairs of clusters with a route between them; default: every pair. */
  readonly links?: readonly ClusterLink[];
  /** JSON file with the image map, for the kubelets. */
  readonly imagesFile: string;
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
