import { shortTypeName } from '@meltemi/xds';
import type { DiscoveryStreamStatus } from '@meltemi/xds/server';

/** One type of resources of one proxy. */
export interface TypeStatus {
  /** `SYNCED`, `STALE`, `ERROR`, `NOT SENT`. */
  readonly status: string;
  readonly sentVersion: string;
  readonly acknowledgedVersion: string;
  readonly lastError?: string;
}

/** One connected proxy, as `/debug/syncz` shows it. */
export interface ProxySyncStatus {
  /** `<pod>.<namespace>`. */
  readonly proxy: string;
  readonly cluster_id: string;
  readonly proxy_type: string;
  readonly proxy_version: string;
  readonly protocol: 'sotw' | 'delta';
  readonly connection: string;
  readonly connected_at: string;
  /** By `cds`, `lds`, `eds`, `rds`. */
  readonly types: Readonly<Record<string, TypeStatus>>;
}

/** What each connected proxy was sent and has acknowledged, by proxy name. */
export function describeSync(statuses: readonly DiscoveryStreamStatus[]): readonly ProxySyncStatus[] {
  return statuses
    .map(({ client, protocol, connectedAtMs, subscriptions }) => ({
      proxy: client.node.proxyId,
      cluster_id: client.node.clusterId,
      proxy_type: client.node.type,
      proxy_version: textOf(client.node.metadata['ISTIO_VERSION']),
      protocol,
      connection: client.connectionId,
      connected_at: new Date(connectedAtMs).toISOString(),
      types: Object.fromEntries(
        subscriptions.map((subscription): [string, TypeStatus] => [
          shortTypeName(subscription.typeUrl).toLowerCase(),
          {
            status: subscription.state.replace('_', ' '),
            sentVersion: subscription.versionSent,
            acknowledgedVersion: subscription.versionAcked,
            ...(subscription.lastError === undefined ? {} : { lastError: subscription.lastError }),
          },
        ]),
      ),
    }))
    .toSorted((left, right) => (left.proxy < right.proxy ? -1 : 1));
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** Everything that is known of each stream. */
export function describeStreams(statuses: readonly DiscoveryStreamStatus[]): unknown {
  return statuses.map(({ client, subscriptions, ...status }) => ({
    connection: client.connectionId,
    proxy: client.node.proxyId,
    cluster: client.node.clusterId,
    identity: client.identity,
    metadata: client.node.metadata,
    ...status,
    subscriptions: subscriptions.map((subscription) => ({
      ...subscription,
      resources: Object.fromEntries(subscription.resources),
    })),
  }));
}

/** Where streams come from, and since when. */
export function describeConnections(statuses: readonly DiscoveryStreamStatus[]): unknown {
  return {
    totalClients: statuses.length,
    clients: statuses.map(({ client, connectedAtMs, peerAddress }) => ({
      connectionId: client.connectionId,
      proxy: client.node.proxyId,
      connectedAt: new Date(connectedAtMs).toISOString(),
      address: peerAddress,
    })),
  };
}

/** What each proxy asks for: names by type, or `*`. */
export function describeSubscriptions(statuses: readonly DiscoveryStreamStatus[]): unknown {
  return statuses.map(({ client, subscriptions }) => ({
    proxy: client.node.proxyId,
    types: Object.fromEntries(
      subscriptions.map(({ typeUrl, wildcard, names }) => [typeUrl, wildcard ? ['*', ...names] : names]),
    ),
  }));
}
