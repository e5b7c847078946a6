import { isIP } from 'node:net';
import { err, ok, type Result } from '@meltemi/base';
import type { Node } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';

/** What kind of data plane a client is. */
export const NODE_TYPES = ['sidecar', 'router', 'waypoint', 'ztunnel', 'agentgateway'] as const;
/** One of {@link NODE_TYPES}. */
export type NodeType = (typeof NODE_TYPES)[number];

/** A client as it introduced itself in its first request. Claims, not proof: see `checkNodeIdentity`. */
export interface DiscoveryNode {
  /** `<type>~<ip>~<pod>.<namespace>~<domain>`. */
  readonly id: string;
  readonly type: NodeType;
  /** The address in the id. */
  readonly ip: string;
  /** `<pod>.<namespace>`: how people name a proxy. */
  readonly proxyId: string;
  /** `<namespace>.svc.<domain suffix>`. */
  readonly dnsDomain: string;
  readonly namespace: string;
  /** Empty when the node does not say. */
  readonly serviceAccount: string;
  readonly clusterId: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly locality: { readonly region: string; readonly zone: string; readonly subzone: string };
  readonly userAgentName: string;
  /** Names of the extensions that the client was built with; empty when it does not say. */
  readonly extensions: ReadonlySet<string>;
}

/** Reads a node; the error is for the client. */
export function parseDiscoveryNode(node: Node | undefined): Result<DiscoveryNode> {
  if (node === undefined || node.id === '') return err('missing node information');
  const parts = node.id.split('~');
  if (parts.length !== 4)
    return err(`node id "${node.id}" has ${parts.length} parts, needed 4: <type>~<ip>~<pod>.<namespace>~<domain>`);
  const [type, ip, proxyId, dnsDomain] = parts as [string, string, string, string];
  if (!(NODE_TYPES as readonly string[]).includes(type))
    return err(`node id "${node.id}" has the type "${type}", needed one of ${NODE_TYPES.join(', ')}`);
  // The metadata of a node is a Struct, which protobuf-es gives as a plain JSON object.
  const metadata: Readonly<Record<string, unknown>> = node.metadata ?? {};
  const instanceIps = textOf(metadata['INSTANCE_IPS']).split(',');
  const address = [ip, ...instanceIps].find((candidate) => isIP(candidate) !== 0);
  if (address === undefined) return err(`node id "${node.id}" has no valid IP address`);
  return ok({
    id: node.id,
    // Checked above against the list that the type is made of.
    type: type as NodeType,
    ip: address,
    proxyId,
    dnsDomain,
    namespace: textOf(metadata['NAMESPACE']) || (dnsDomain.split('.', 1)[0] as string),
    serviceAccount: textOf(metadata['SERVICE_ACCOUNT']),
    clusterId: textOf(metadata['CLUSTER_ID']) || 'Kubernetes',
    metadata,
    locality: {
      region: node.locality?.region ?? '',
      zone: node.locality?.zone ?? '',
      subzone: node.locality?.subZone ?? '',
    },
    userAgentName: node.userAgentName,
    extensions: new Set(node.extensions.map((extension) => extension.name)),
  });
}

/** A member of node metadata that should be text; anything else counts as absent. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
