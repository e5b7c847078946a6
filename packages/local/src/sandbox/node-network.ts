import { MeltemiError } from '@meltemi/base';
import type { RunCommand } from './run-command.ts';
import type { ClusterLink, ClusterNetwork, NodeSandbox } from './sandbox.ts';

/** The path of a cluster's node's network namespace. */
export function nodeNamespacePath(cluster: string): string {
  return `/run/netns/${nodeNamespace(cluster)}`;
}

function nodeNamespace(cluster: string): string {
  return `node-${cluster}`;
}

/** The two ends of the veth pair between the environment's own namespace and the n-th node. */
function linkAddresses(index: number): { readonly hub: string; readonly node: string } {
  return { hub: `10.255.${index + 1}.1`, node: `10.255.${index + 1}.2` };
}

/** Runs in the environment's namespace, which forwards between the nodes. */
function hubBatch(network: ClusterNetwork, index: number): string {
  const { hub, node } = linkAddresses(index);
  const device = `node${index + 1}`;
  return [
    `link add name ${device} type veth peer name wan netns ${nodeNamespace(network.cluster)}`,
    `addr add ${hub}/32 dev ${device}`,
    `link set ${device} up`,
    `route add ${node}/32 dev ${device}`,
    `route add ${network.podCidr} via ${node} dev ${device}`,
    '',
  ].join('\n');
}

/**
 * Runs in the node's namespace. The node's own address comes first on `lo`: the kernel takes it as the source address
 * of what the node sends. Without the last route the node's own calls to Service addresses find no way out, and never
 * reach the rules that rewrite them.
 */
function nodeBatch(network: ClusterNetwork, index: number): string {
  const { hub, node } = linkAddresses(index);
  return [
    'link set lo up',
    `addr add ${network.nodeIp}/32 dev lo`,
    `addr add ${network.dnsIp}/32 dev lo`,
    'link set wan up',
    `addr add ${node}/32 dev wan`,
    `route add ${hub}/32 dev wan`,
    `route add ${network.serviceCidr} dev lo src ${network.nodeIp}`,
    '',
  ].join('\n');
}

/** Options of {@link createNodeNetworks}. */
export interface NodeNetworksOptions {
  readonly run: RunCommand;
}

/**
 * The nodes as network namespaces: routed, each a veth away from the environment's own namespace, and no bridge.
 *
 * All commands run in the environment's first namespaces, which vanish with everything made here.
 */
export function createNodeNetworks({ run }: NodeNetworksOptions): NodeSandbox {
  const networks = new Map<string, ClusterNetwork & { readonly index: number }>();

  const networkOf = (cluster: string): ClusterNetwork & { readonly index: number } => {
    const network = networks.get(cluster);
    if (network === undefined) throw new MeltemiError('UNKNOWN_CLUSTER', `Cannot find the node of cluster ${cluster}`);
    return network;
  };

  const createNode = async (network: ClusterNetwork, index: number): Promise<void> => {
    await run(['ip', 'netns', 'add', nodeNamespace(network.cluster)]);
    await run(['ip', '-batch', '-'], hubBatch(network, index));
    const script = 'echo 1 > /proc/sys/net/ipv4/ip_forward && exec ip -batch -';
    await run(
      ['nsenter', `--net=${nodeNamespacePath(network.cluster)}`, 'sh', '-c', script],
      nodeBatch(network, index),
    );
  };

  /** One direction: the route on `from` to the pods and the node of `to`. */
  const changeRoute = async (verb: 'replace' | 'del', from: string, to: string): Promise<void> => {
    const source = networkOf(from);
    const { hub } = linkAddresses(source.index);
    const route = `route ${verb} ${networkOf(to).podCidr} via ${hub} dev wan src ${source.nodeIp}\n`;
    await run(['nsenter', `--net=${nodeNamespacePath(from)}`, 'ip', '-batch', '-'], route);
  };

  const up = new Set<string>();
  const setLink = async ([left, right]: ClusterLink, state: 'up' | 'down'): Promise<void> => {
    const key = [left, right].sort().join('\n');
    if (up.has(key) === (state === 'up')) return;
    if (state === 'up') up.add(key);
    else up.delete(key);
    const verb = state === 'up' ? 'replace' : 'del';
    await changeRoute(verb, left, right);
    await changeRoute(verb, right, left);
  };

  return {
    async createNodes(clusters, links) {
      await run(['sh', '-c', 'ip link set lo up && echo 1 > /proc/sys/net/ipv4/ip_forward']);
      for (const [index, network] of clusters.entries()) {
        networks.set(network.cluster, { ...network, index });
        await createNode(network, index);
      }
      for (const link of links) await setLink(link, 'up');
    },
    nodeCommand: (cluster, argv) => ['nsenter', `--net=${nodeNamespacePath(networkOf(cluster).cluster)}`, ...argv],
    setLink,
  };
}
