import { createTokenReviewer, type TokenReviewClusters } from '@meltemi/citadel';
import type { KubeClient } from '@meltemi/kube';
import type { RemoteClusters } from '@meltemi/registry';
import type { UnknownClusters } from './unknown-clusters.ts';

/** Where a token is reviewed: in the cluster that issued it. */
export function createTokenReviewClusters(options: {
  readonly localClusterId: string;
  readonly client: Pick<KubeClient, 'reviewToken'>;
  readonly remotes: Pick<RemoteClusters, 'ids' | 'clientOf'>;
  readonly unknown: Pick<UnknownClusters, 'note'>;
}): TokenReviewClusters {
  const { localClusterId, client, remotes, unknown } = options;
  const ids = (): readonly string[] => [localClusterId, ...remotes.ids()];
  return {
    find(clusterId) {
      const found = clusterId === localClusterId ? client : remotes.clientOf(clusterId);
      if (found !== undefined) return createTokenReviewer(found);
      unknown.note(clusterId, ids());
      return undefined;
    },
    ids,
  };
}
