/** Clusters that every sidecar has. */
export const BLACK_HOLE_CLUSTER = 'BlackHoleCluster';
export const PASSTHROUGH_CLUSTER = 'PassthroughCluster';
export const INBOUND_PASSTHROUGH_CLUSTER = 'InboundPassthroughCluster';

/** The bootstrap cluster that reaches the agent's SDS. */
export const SDS_CLUSTER = 'sds-grpc';

/** Listeners that capture rules send connections to. */
export const VIRTUAL_OUTBOUND = 'virtualOutbound';
export const VIRTUAL_INBOUND = 'virtualInbound';

/** The route configuration of the explicit proxy, for all ports. */
export const HTTP_PROXY_ROUTES = 'http_proxy';

/** A cluster's identity; `subset` is empty for all endpoints. */
export interface OutboundClusterKey {
  readonly port: number;
  readonly subset: string;
  readonly hostname: string;
}

/** `outbound|<port>|<subset>|<hostname>`. */
export function outboundClusterName({ port, subset, hostname }: OutboundClusterKey): string {
  return `outbound|${port}|${subset}|${hostname}`;
}

/** `outbound_.<port>_.<subset>_.<hostname>`: the SNI of mesh mTLS. */
export function outboundSni({ port, subset, hostname }: OutboundClusterKey): string {
  return `outbound_.${port}_.${subset}_.${hostname}`;
}

/** Reads either form above; `undefined` for any other name. */
export function parseOutboundClusterName(name: string): OutboundClusterKey | undefined {
  // A hostname may itself contain `_.`, so only the first three separators count.
  const match = /^outbound(?:\|(\d+)\|([^|]*)\||_\.(\d+)_\.((?:(?!_\.).)*)_\.)(.+)$/.exec(name);
  if (match === null) return undefined;
  const [, pipePort, pipeSubset, sniPort, sniSubset, hostname] = match;
  return {
    port: Number(pipePort ?? sniPort),
    subset: pipeSubset ?? sniSubset ?? '',
    // The pattern has matched, so the last group is there.
    hostname: hostname as string,
  };
}

/** `inbound|<targetPort>||`. */
export function inboundClusterName(targetPort: number): string {
  return `inbound|${targetPort}||`;
}

/** `<bind>_<port>`. */
export function listenerName(bind: string, port: number): string {
  return `${bind}_${port}`;
}

/** How statistics of a cluster or listener are named; the trailing `;` ends the tag. */
export function statName(name: string): string {
  return `${name};`;
}
