import { createConnection } from 'node:net';
import { join } from 'node:path';
import { type Clock, type Log, messageOf, sleep } from '@meltemi/base';
import type { NodeSandbox } from '../sandbox/sandbox.ts';
import { API_PORT, toNodeName } from './cluster-components.ts';
import { type Component, createComponent } from './component.ts';
import { allLinks, type ClusterConfig, type SupervisorConfig } from './config.ts';
import { createContainerProcesses } from './container-processes.ts';
import type { SupervisorOrder, SupervisorReport } from './outer-messages.ts';
import { createProcessServer } from './process-server.ts';

/** The environment's first process: owns the network, the clusters' components and the pods' processes. */
export interface Supervisor {
  /** Builds the nodes and starts everything. @throws MeltemiError when the network cannot be built. */
  start(): Promise<void>;
  obey(order: SupervisorOrder): Promise<void>;
  /** Ends pods and components; resolves when they have ended, or after two seconds. */
  stop(): Promise<void>;
}

/** Options of {@link createSupervisor}. */
export interface SupervisorOptions {
  readonly config: SupervisorConfig;
  readonly sandbox: NodeSandbox;
  /** Where kubelets connect. */
  readonly socketPath: string;
  /** Where the components keep compiled modules. */
  readonly compileCache?: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly report: (report: SupervisorReport) => void;
}

const STOP_TIMEOUT_MS = 2000;
const CONNECT_INTERVAL_MS = 20;

/** Resolves when something accepts connections at the address, or when the signal aborts. */
async function untilAccepting(host: string, port: number, clock: Clock, signal: AbortSignal): Promise<void> {
  const accepts = (): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = createConnection({ host, port });
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
  while (!signal.aborted && !(await accepts())) await sleep(clock, CONNECT_INTERVAL_MS, signal);
}

/** Creates the supervisor; `start` begins. */
export function createSupervisor(options: SupervisorOptions): Supervisor {
  const { config, sandbox, socketPath, compileCache, clock, log, report } = options;
  const components: Component[] = [];
  const ended = new AbortController();
  const kubelets = new Map(
    config.clusters.map(({ cluster }) => [toNodeName(cluster), Promise.withResolvers<void>()] as const),
  );
  const processes = createContainerProcesses({ clock, onExit: (process) => server.announceExit(process) });
  const server = createProcessServer({
    socketPath,
    processes,
    log: log.scope('processes'),
    onReady: (nodeName) => kubelets.get(nodeName)?.resolve(),
  });

  const startComponents = (cluster: ClusterConfig): void => {
    const env = {
      PATH: config.path,
      ...(compileCache === undefined ? {} : { NODE_COMPILE_CACHE: compileCache }),
      ...(config.logLevel === undefined ? {} : { MELTEMI_LOG_LEVEL: config.logLevel }),
    };
    for (const { name, argv, inheritedFd } of cluster.components) {
      const component = createComponent({
        name: `${cluster.cluster}-${name}`,
        argv: sandbox.nodeCommand(cluster.cluster, argv),
        env,
        logPath: join(config.stateDir, 'logs', `${cluster.cluster}-${name}.log`),
        inheritedFd,
        clock,
        log,
      });
      components.push(component);
      component.start();
    }
  };

  const awaitCluster = async ({ cluster, nodeIp }: ClusterConfig): Promise<void> => {
    await untilAccepting(nodeIp, API_PORT, clock, ended.signal);
    report({ type: 'progress', cluster, message: 'API server is up' });
    await kubelets.get(toNodeName(cluster))?.promise;
    report({ type: 'progress', cluster, message: 'Node is registered' });
  };

  return {
    async start() {
      await sandbox.createNodes(config.clusters, config.links ?? allLinks(config.clusters));
      report({ type: 'progress', message: `Network of ${config.clusters.length} clusters is built` });
      await server.start();
      for (const cluster of config.clusters) startComponents(cluster);
      await Promise.all(config.clusters.map(awaitCluster));
      if (!ended.signal.aborted) report({ type: 'ready' });
    },
    async obey(order) {
      if (order.type === 'stop') return;
      const { link, state } = order;
      try {
        await sandbox.setLink(link, state);
        report({ type: 'link', link, state });
      } catch (error) {
        report({ type: 'link', link, state, error: messageOf(error) });
      }
    },
    async stop() {
      ended.abort();
      const all = Promise.all([processes.terminateAll(), ...components.map((component) => component.stop())]);
      await Promise.race([all, sleep(clock, STOP_TIMEOUT_MS)]);
      await server[Symbol.asyncDispose]();
    },
  };
}
