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
