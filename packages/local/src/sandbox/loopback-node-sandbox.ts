import { createServer } from 'node:net';
import { MeltemiError, messageOf } from '@meltemi/base';
import { environmentVariable } from './environment-processes.ts';
import type { ClusterNetwork, NodeSandbox } from './sandbox.ts';
import { findProgram } from './system-path.ts';

/** Options of {@link createLoopbackNodes}. */
export interface LoopbackNodesOptions {
  /** Absolute path of the environment's folder; every process carries it. */
  readonly environment: string;
  /** `PATH` in which the system's programs are found. */
  readonly path: string;
}

/**
 * Words put before a command so that the kernel kills it when the process that spawned it ends, however that ends.
 * Empty where there is no `setpriv`: what is left over is then killed at the environment's next start.
 */
export function dieWithParent(path: string): readonly string[] {
  return findProgram('setpriv', path) === undefined ? [] : ['setpriv', '--pdeathsig', 'KILL'];
}

/** Finds out whether a node's address can be had: another environment may be using the same ranges. */
function tryAddress({ cluster, nodeIp }: ClusterNetwork, port: number): Promise<void> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new MeltemiError(
          'NODE_ADDRESS',
          `Cannot use ${nodeIp}:${port} for cluster ${cluster}: ${messageOf(error)}; when another environment runs in the loopback sandbox, give this one other ranges (podCIDR, serviceCIDR) in its mesh.yaml`,
        ),
      ),
    );
    server.listen({ host: nodeIp, port }, () => server.close(() => resolve()));
  });
}

/** The port that {@link createLoopbackNodes} tries on each node: the kubelet's. */
const TRIED_PORT = 10_250;

/** The nodes as addresses of the machine's loopback interface: Linux answers on all of 127.0.0.0/8 without being asked. */
export function createLoopbackNodes({ environment, path }: LoopbackNodesOptions): NodeSandbox {
  const prefix = [...dieWithParent(path), 'env', environmentVariable(environment)];
  return {
    async createNodes(clusters) {
      for (const network of clusters) await tryAddress(network, TRIED_PORT);
    },
    nodeCommand: (_cluster, argv) => [...prefix, ...argv],
    setLink(link, state) {
      if (state === 'up') return Promise.resolve();
      const problem = `Cannot cut the link between ${link.join(' and ')}: in the loopback sandbox all clusters share one interface`;
      return Promise.reject(new MeltemiError('LINK_UNSUPPORTED', problem));
    },
  };
}
