import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LOOPBACK_DNS_PORT } from '../sandbox/loopback-addresses.ts';
import type { SandboxKind } from '../sandbox/sandbox.ts';
import { type ClusterConfig, RUNTIME_DIRECTORY } from './config.ts';

/** The port of each cluster's API on its node. */
export const API_PORT = 6443;

/** One system process to be started on a cluster's node. */
export interface ComponentCommand {
  readonly name: 'api-server' | 'controllers' | 'kubelet';
  readonly argv: readonly string[];
  readonly inheritedFd?: number | undefined;
}

/** Options of {@link clusterComponents}. */
export interface ClusterComponentsOptions {
  readonly cluster: ClusterConfig;
  /** The Node executable. */
  readonly node: string;
  readonly socketPath: string;
  readonly imagesFile: string;
  readonly sandbox: SandboxKind;
  /** Default {@link RUNTIME_DIRECTORY}. */
  readonly runtimeDirectory?: string | undefined;
}

/** Without rules that rewrite Service addresses, names stand for endpoints. */
const LOOPBACK_CONTROLLER_FLAGS = ['--no-service-rules', '--dns-endpoints', '--dns-port', String(LOOPBACK_DNS_PORT)];

/** The node's name in its cluster. */
export function toNodeName(cluster: string): string {
  return `${cluster}-node`;
}

function entry(component: string): string {
  return fileURLToPath(new URL(`../${component}/main.ts`, import.meta.url));
}

/** The command lines of a cluster's own processes. */
export function clusterComponents(options: ClusterComponentsOptions): readonly ComponentCommand[] {
  const { cluster, node, socketPath, imagesFile, sandbox, runtimeDirectory = RUNTIME_DIRECTORY } = options;
  const { dataDir } = cluster;
  const flags = (values: Readonly<Record<string, string>>): readonly string[] =>
    Object.entries(values).flatMap(([flag, value]) => [`--${flag}`, value]);
  const pki = join(dataDir, 'pki');
  return [
    {
      name: 'api-server',
      inheritedFd: cluster.hostListenFd,
      argv: [
        node,
        entry('api-server'),
        ...flags({
          cluster: cluster.cluster,
          data: dataDir,
          pki,
          'service-cidr': cluster.serviceCidr,
          'pod-cidr': cluster.podCidr,
          listen: `${cluster.nodeIp}:${API_PORT}`,
          ...(cluster.hostListenFd === undefined ? {} : { 'listen-fd': '3' }),
        }),
      ],
    },
    {
      name: 'controllers',
      argv: [
        node,
        entry('controllers'),
        ...flags({
          kubeconfig: join(dataDir, 'controllers.kubeconfig'),
          'service-cidr': cluster.serviceCidr,
          'pod-cidr': cluster.podCidr,
          cluster: cluster.cluster,
          'node-ip': cluster.nodeIp,
          'dns-ip': cluster.dnsIp,
          data: dataDir,
        }),
        ...(sandbox === 'loopback' ? LOOPBACK_CONTROLLER_FLAGS : []),
      ],
    },
    {
      name: 'kubelet',
      argv: [
        node,
        entry('kubelet'),
        ...flags({
          kubeconfig: join(dataDir, 'kubelet.kubeconfig'),
          'node-name': toNodeName(cluster.cluster),
          'node-ip': cluster.nodeIp,
          'pod-cidr': cluster.podCidr,
          'dns-ip': cluster.dnsIp,
          supervisor: socketPath,
          data: dataDir,
          images: imagesFile,
          pki,
          sandbox,
          runtime: runtimeDirectory,
        }),
      ],
    },
  ];
}
