import type { Clock, Log, Random } from '@meltemi/base';
import {
  createInformer,
  ENDPOINT_SLICES,
  type EndpointSlice,
  type KubeClient,
  SERVICE_NAME_LABEL,
} from '@meltemi/kube';
import { CONTROL_PLANE_NAME } from '../manifests/manifest-object.ts';
import { ofRevision } from '../revision-name.ts';

/** Where the replicas of this control plane are reached. */
export interface ReplicaAddresses {
  /** Of one IP family, sorted; empty outside of a cluster. */
  list(): readonly string[];
  /** Calls back after a change. @returns Ends it. */
  onChange(listener: () => void): () => void;
}

/** What {@link followReplicaAddresses} works with. */
export interface ReplicaAddressOptions {
  /** Of the control plane's own cluster. */
  readonly client: Pick<KubeClient, 'list' | 'watch' | 'server'>;
  readonly namespace: string;
  readonly revision: string;
  /** Of this replica; absent outside of a pod. */
  readonly podIp: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Follows the endpoints of the Service `istiod`, until the signal aborts. The own address always counts: whoever asks
 * is there to serve, though its readiness may not be told yet.
 */
export function followReplicaAddresses(options: ReplicaAddressOptions, signal: AbortSignal): ReplicaAddresses {
  const { namespace, revision, podIp } = options;
  const listeners = new Set<() => void>();
  const informer = createInformer<EndpointSlice>({
    ...options,
    ref: ENDPOINT_SLICES,
    labelSelector: `${SERVICE_NAME_LABEL}=${ofRevision(CONTROL_PLANE_NAME, revision)}`,
  });
  let known = '';
  const list = (): readonly string[] => {
    const wantsIpv6 = podIp?.includes(':') === true;
    const ready = informer.store.list(namespace).flatMap(readyAddresses);
    const own = podIp === undefined ? [] : [podIp];
    return [...new Set([...own, ...ready])].filter((ip) => ip.includes(':') === wantsIpv6).toSorted();
  };
  const tell = (): void => {
    const now = list().join();
    if (now === known) return;
    known = now;
    for (const listener of listeners) listener();
  };
  informer.subscribe({ onAdd: tell, onUpdate: tell, onDelete: tell });
  void informer.start(signal);
  return {
    list,
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

function readyAddresses({ endpoints }: EndpointSlice): readonly string[] {
  return (endpoints ?? [])
    .filter(({ conditions }) => conditions?.ready !== false)
    .flatMap(({ addresses }) => addresses);
}
