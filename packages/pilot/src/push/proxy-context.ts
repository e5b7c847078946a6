import { addressKey, type Labels, type MeshSnapshot, type Workload } from '@meltemi/model';
import type { DiscoveryNode } from '@meltemi/xds/server';
import { type Application, type ProxyNode, resolveProxyFeatures } from '../translate/proxy-node.ts';

/**
 * Joins what a proxy says of itself with what the registry knows of its workload.
 *
 * Labels, the locality and the node come from the registry where it has the workload: they decide which policies apply.
 */
export function buildProxyNode(node: DiscoveryNode, snapshot: MeshSnapshot): ProxyNode {
  const { metadata } = node;
  const instanceIps = textOf(metadata['INSTANCE_IPS']).split(',');
  const addresses = [...new Set([node.ip, ...instanceIps])].filter((address) => address !== '');
  const workload = workloadOf(snapshot, node.clusterId, addresses);
  return {
    type: node.type === 'sidecar' ? 'sidecar' : 'router',
    id: node.proxyId,
    namespace: node.namespace,
    clusterId: node.clusterId,
    network: textOf(metadata['NETWORK']),
    addresses,
    labels: workload?.labels ?? labelsOf(metadata['LABELS']),
    locality: workload?.locality ?? node.locality,
    nodeName: workload?.nodeName ?? textOf(metadata['NODE_NAME']),
    interceptionMode: interceptionOf(metadata['INTERCEPTION_MODE']),
    isUnprivileged: metadata['UNPRIVILEGED_POD'] === 'true',
    ...applicationOf(metadata),
    features: resolveProxyFeatures(node.extensions, node.userAgentName),
  };
}

function workloadOf(snapshot: MeshSnapshot, clusterId: string, addresses: readonly string[]): Workload | undefined {
  for (const address of addresses) {
    const workload = snapshot.workloadsByAddress.get(addressKey(clusterId, address));
    if (workload !== undefined) return workload;
  }
  return undefined;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function labelsOf(value: unknown): Labels {
  if (value === null || typeof value !== 'object') return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

function interceptionOf(value: unknown): ProxyNode['interceptionMode'] {
  return value === 'TPROXY' || value === 'NONE' ? value : 'REDIRECT';
}

/** The metadata of Meltemi's agents in the `loopback` sandbox. */
function applicationOf(metadata: DiscoveryNode['metadata']): { readonly application?: Application } {
  const address = textOf(metadata['APP_ADDRESS']);
  if (address === '' || interceptionOf(metadata['INTERCEPTION_MODE']) !== 'NONE') return {};
  return { application: { address, ports: podPortsOf(metadata['POD_PORTS']) } };
}

/** `POD_PORTS` is JSON text: the injector writes it, and agents pass variables on as they are. */
function podPortsOf(value: unknown): readonly number[] {
  let ports: unknown;
  try {
    ports = typeof value === 'string' ? JSON.parse(value) : value;
  } catch {
    return [];
  }
  if (!Array.isArray(ports)) return [];
  const numbers = ports.flatMap((port: unknown) => {
    const { containerPort, protocol = 'TCP' } = (port ?? {}) as { containerPort?: unknown; protocol?: unknown };
    return typeof containerPort === 'number' && protocol === 'TCP' ? [containerPort] : [];
  });
  return [...new Set(numbers)].sort((left, right) => left - right);
}
