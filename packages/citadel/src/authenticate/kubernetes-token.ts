import { err, ok, type Result } from '@meltemi/base';
import { formatSpiffeId } from '../spiffe-id.ts';
import type { Authenticator, Caller } from './authenticator.ts';

/** `status` of a TokenReview, the fields that count. */
export interface TokenReviewStatus {
  readonly authenticated?: boolean;
  readonly error?: string;
  readonly audiences?: readonly string[];
  readonly user?: {
    readonly username?: string;
    readonly groups?: readonly string[];
    readonly extra?: Readonly<Record<string, readonly string[]>>;
  };
}

/** Asks one cluster's API server whether a token is good. */
export type TokenReviewer = (token: string, audiences: readonly string[]) => Promise<TokenReviewStatus>;

/** The clusters whose tokens are accepted; they come and go with remote secrets. */
export interface TokenReviewClusters {
  /** @returns `undefined` for a cluster that is not attached. */
  find(clusterId: string): TokenReviewer | undefined;
  ids(): readonly string[];
}

/** What {@link createKubernetesTokenAuthenticator} works with. */
export interface KubernetesTokenOptions {
  readonly clusters: TokenReviewClusters;
  /** The cluster of callers that name none. */
  readonly localClusterId: string;
  readonly trustDomain: string;
  /** @default ['istio-ca'] */
  readonly audiences?: readonly string[];
  /** Reviews under way; callers beyond are turned away and come again. @default 500 */
  readonly maxReviews?: number;
}

/** A token of a service account has about 1 KiB. */
const MAX_TOKEN_LENGTH = 16 * 1024;
/** The API server must not be run over by callers nobody knows yet. */
const DEFAULT_MAX_REVIEWS = 500;

/**
 * Accepts service account tokens by TokenReview in the cluster that the call names.
 *
 * The review must return one of the audiences asked for: a server that knows no audiences would accept the token that a
 * pod uses for the Kubernetes API itself.
 */
export function createKubernetesTokenAuthenticator(options: KubernetesTokenOptions): Authenticator {
  const { clusters, localClusterId, trustDomain, audiences = ['istio-ca'], maxReviews = DEFAULT_MAX_REVIEWS } = options;
  const name = 'KubernetesTokenAuthenticator';
  let reviewCount = 0;
  const reviewWith = async (review: TokenReviewer, token: string): Promise<TokenReviewStatus> => {
    reviewCount++;
    try {
      return await review(token, audiences);
    } finally {
      reviewCount--;
    }
  };
  return {
    name,
    async authenticate({ bearerToken, clusterId }) {
      if (bearerToken === undefined || bearerToken === '') return err('no bearer token');
      if (bearerToken.length > MAX_TOKEN_LENGTH) return err('the bearer token is too long');
      const cluster = clusterId === undefined || clusterId === '' ? localClusterId : clusterId;
      const review = clusters.find(cluster);
      if (review === undefined) {
        return err(`cluster "${cluster}" is not known; known clusters: ${clusters.ids().join(', ') || 'none'}`);
      }
      if (reviewCount >= maxReviews) return err('too many callers are being authenticated; try again');
      const status = await reviewWith(review, bearerToken);
      const account = readServiceAccount(status, audiences);
      if (!account.ok) return account;
      return ok(toCaller(name, { ...account.value, trustDomain, clusterId: cluster }, status));
    },
  };
}

interface ServiceAccount {
  readonly namespace: string;
  readonly serviceAccount: string;
}

function readServiceAccount(status: TokenReviewStatus, audiences: readonly string[]): Result<ServiceAccount> {
  if (status.authenticated !== true) return err(`the token was not accepted${status.error ? `: ${status.error}` : ''}`);
  if (!audiences.some((audience) => status.audiences?.includes(audience))) {
    return err(`the token is not meant for audience ${audiences.join(' or ')}`);
  }
  if (status.user?.groups?.includes('system:serviceaccounts') !== true)
    return err('the token is not of a service account');
  const [system, kind, namespace = '', serviceAccount = '', ...rest] = (status.user.username ?? '').split(':');
  const isServiceAccount = system === 'system' && kind === 'serviceaccount' && rest.length === 0;
  if (!isServiceAccount || namespace === '' || serviceAccount === '') {
    return err('the user name of the token is not system:serviceaccount:<namespace>:<name>');
  }
  return ok({ namespace, serviceAccount });
}

function toCaller(
  source: string,
  account: ServiceAccount & { readonly trustDomain: string; readonly clusterId: string },
  status: TokenReviewStatus,
): Caller {
  const podName = status.user?.extra?.['authentication.kubernetes.io/pod-name']?.[0];
  const podUid = status.user?.extra?.['authentication.kubernetes.io/pod-uid']?.[0];
  const identities = [formatSpiffeId(account)];
  if (podName === undefined || podUid === undefined) return { identities, source };
  return {
    identities,
    source,
    pod: { namespace: account.namespace, name: podName, uid: podUid, clusterId: account.clusterId },
  };
}
