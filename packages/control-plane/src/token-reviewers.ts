import { createTokenReviewer, type TokenReviewClusters } from '@meltemi/citadel';
import type { KubeClient } from '@meltemi/kube';
import type { RemoteClusters } from '@meltemi/registry';

/** Where a token is reviewed: in the cluster that issued it. */
export function createTokenReviewClusters(options: {
  readonly localClusterId: string;
  readonly client: Pick<KubeClient, 'reviewToken'>;
  readonly remotes: Pick<RemoteClusters, 'ids' | 'clientOf'>;
}): TokenReviewClusters {
  const { localClusterId, client, remotes } = options;
  return {
    find(clusterId) {
      const found = clusterId === localClusterId ? client : remotes.clientOf(clusterId);
      return found === undefined ? undefined : createTokenReviewer(found);
    },
    ids: () => [localClusterId, ...remotes.ids()],
  };
}
