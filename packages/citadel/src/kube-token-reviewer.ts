import type { KubeClient } from '@meltemi/kube';
import type { TokenReviewer } from './authenticate/kubernetes-token.ts';

/** A review takes one round trip; a cluster that does not answer must not hold the callers of the others. */
const REVIEW_TIMEOUT_MS = 5000;

/** Asks a cluster's API server about tokens. Use one for each attached cluster. */
export function createTokenReviewer(client: Pick<KubeClient, 'reviewToken'>): TokenReviewer {
  return async (token, audiences) => {
    const {
      authenticated,
      username,
      groups,
      extra,
      audiences: matched,
      error,
    } = await client.reviewToken({ token, audiences }, { timeoutMs: REVIEW_TIMEOUT_MS });
    return {
      authenticated,
      audiences: matched,
      user: { groups, extra, ...(username === undefined ? {} : { username }) },
      ...(error === undefined ? {} : { error }),
    };
  };
}
