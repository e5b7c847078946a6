import type { MeshSnapshot } from '@meltemi/model';
import { buildProxyNode, createTranslationMemo, translateSidecar } from '@meltemi/pilot';
import type { DiscoveryStreamStatus } from '@meltemi/xds/server';

/** One resource that a proxy is to have, and what it was made from. */
export interface DumpedResource {
  readonly name: string;
  readonly sources: readonly { readonly resourceKey: string; readonly fieldPath: string }[];
}

/**
 * The resources that a connected proxy is to have, by type, each with its sources.
 *
 * @param proxyId `<pod>.<namespace>`.
 * @returns `undefined` when no such proxy is connected.
 */
export function dumpProxy(
  proxyId: string,
  statuses: readonly DiscoveryStreamStatus[],
  snapshot: MeshSnapshot | undefined,
): Readonly<Record<string, readonly DumpedResource[]>> | undefined {
  const found = statuses.find(({ client }) => client.node.proxyId === proxyId);
  if (found === undefined || snapshot === undefined) return undefined;
  const node = buildProxyNode(found.client.node, snapshot);
  const translation = translateSidecar({ snapshot, node, memo: createTranslationMemo() });
  const list = (resources: readonly DumpedResource[]): readonly DumpedResource[] =>
    resources.map(({ name, sources }) => ({ name, sources }));
  return {
    clusters: list(translation.clusters()),
    listeners: list(translation.listeners()),
    routes: list(translation.routes()),
    endpoints: list(translation.endpoints()),
  };
}
