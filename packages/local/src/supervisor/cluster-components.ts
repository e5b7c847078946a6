import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LOOPBACK_DNS_PORT } from '../sandbox/loopback-addresses.ts';
import type { SandboxKind } from '../sandbox/sandbox.ts';
import { type ClusterConfig, type ComponentCommand, RUNTIME_DIRECTORY, supervisorSocket } from './config.ts';

/** The port of each cluster's API on its node. */
export const API_PORT = 6443;

/** Options of {@link clusterComponents}. */
export interface ClusterComponentsOptions {
  readonly cluster: Omit<ClusterConfig, 'components'>;
  /** The Node executable. */
  readonly node: string;
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

/** The command lines of an embedded cluster: API server, controllers and kubelet. */
export function clusterComponents(options: ClusterComponentsOptions): readonly ComponentCommand[] {
  const { cluster, node, imagesFile, sandbox, runtimeDirectory = RUNTIME_DIRECTORY } = options;
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
          supervisor: supervisorSocket(runtimeDirectory),
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
