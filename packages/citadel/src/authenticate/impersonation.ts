import { err, messageOf, ok, type Result } from '@meltemi/base';
import { parseSpiffeId } from '../spiffe-id.ts';
import type { Caller } from './authenticator.ts';

/** What must be known of a pod to say on whose behalf its node's proxy may act. */
export interface NodePod {
  readonly uid: string;
  readonly serviceAccount: string;
  readonly nodeName: string;
  /** `Failed` pods have nobody to act for. */
  readonly phase: string;
}

/** The pods of one cluster. */
export interface PodReader {
  find(namespace: string, name: string): Promise<NodePod | undefined>;
  /** Pods of a namespace on a node. */
  onNode(namespace: string, nodeName: string): Promise<readonly NodePod[]>;
}

/** Decides whether a caller may be certified as somebody else. */
export interface ImpersonationAuthorizer {
  /** @returns The reason against it, for the log only. */
  authorize(caller: Caller, identity: string): Promise<Result<true>>;
}

/** What {@link createNodeAuthorizer} works with. */
export interface NodeAuthorizerOptions {
  /** Accounts of node proxies, `<namespace>/<service account>`. Nobody else may act for others. */
  readonly trustedAccounts: ReadonlySet<string>;
  /** @returns `undefined` for a cluster that is not attached. */
  readonly podsOf: (clusterId: string) => PodReader | undefined;
}

/** Looks at pods under way; each costs the API server two reads. */
const MAX_CHECKS = 100;

/**
 * Lets a trusted account act for the accounts of pods on its own node, and for no others: who breaks into one node gets
 * the identities of that node.
 */
export function createNodeAuthorizer({ trustedAccounts, podsOf }: NodeAuthorizerOptions): ImpersonationAuthorizer {
  let checkCount = 0;
  const check = async ({ identities, pod }: Caller, identity: string): Promise<Result<true>> => {
    const own = parseSpiffeId(identities[0] ?? '');
    if (!own.ok) return err('the caller is no workload');
    const { namespace, serviceAccount, trustDomain } = own.value;
    if (!trustedAccounts.has(`${namespace}/${serviceAccount}`)) {
      return err(`account ${namespace}/${serviceAccount} is not trusted to act for others`);
    }
    const wanted = parseSpiffeId(identity);
    if (!wanted.ok) return wanted;
    if (wanted.value.trustDomain !== trustDomain) return err('the identity is of another trust domain');
    if (pod === undefined) return err('the token is not bound to a pod');
    const pods = podsOf(pod.clusterId);
    if (pods === undefined) return err(`cluster "${pod.clusterId}" is not attached`);
    const callerPod = await pods.find(pod.namespace, pod.name);
    if (callerPod === undefined || callerPod.uid !== pod.uid) return err('the pod of the token is gone');
    if (callerPod.serviceAccount !== serviceAccount) return err('the pod of the token runs as another account');
    if (callerPod.nodeName === '') return err('the pod of the token is on no node');
    const neighbours = await pods.onNode(wanted.value.namespace, callerPod.nodeName);
    const isThere = neighbours.some(
      ({ serviceAccount: account, phase }) => account === wanted.value.serviceAccount && phase !== 'Failed',
    );
    return isThere ? ok(true) : err(`no pod of that account runs on node ${callerPod.nodeName}`);
  };
  return {
    async authorize(caller, identity) {
      if (checkCount >= MAX_CHECKS) return err('too many callers are being checked; try again');
      checkCount++;
      try {
        return await check(caller, identity);
      } catch (error) {
        return err(messageOf(error));
      } finally {
        checkCount--;
      }
    },
  };
}
