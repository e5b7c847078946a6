import type { Clock, Log, Random } from '@meltemi/base';
import {
  CONFIG_MAPS,
  type ConfigMap,
  controllerOf,
  createInformer,
  DEPLOYMENTS,
  type Deployment,
  ENDPOINT_SLICES,
  type EndpointSlice,
  type Informer,
  type KubeClient,
  type KubeObject,
  NAMESPACES,
  type Namespace,
  NODES,
  type NodeObject,
  PODS,
  type Pod,
  REPLICA_SETS,
  type ReplicaSet,
  type ResourceRef,
  SECRETS,
  SERVICE_ACCOUNTS,
  SERVICES,
  type Secret,
  type Service,
  type ServiceAccount,
} from '@meltemi/kube';
import { serviceOfSlice } from './cluster-dns/zone.ts';

/** The local copies that all controllers share. */
export interface Informers {
  readonly configMaps: Informer<ConfigMap>;
  readonly deployments: Informer<Deployment>;
  readonly namespaces: Informer<Namespace>;
  readonly nodes: Informer<NodeObject>;
  /** Index `owner`: uid of the controlling owner. */
  readonly pods: Informer<Pod>;
  /** Index `owner`: uid of the controlling owner. */
  readonly replicaSets: Informer<ReplicaSet>;
  readonly secrets: Informer<Secret>;
  readonly serviceAccounts: Informer<ServiceAccount>;
  readonly services: Informer<Service>;
  /** Index `service`: `namespace/name` of the service. */
  readonly slices: Informer<EndpointSlice>;
}

/** What the informers are made of. */
export interface InformersOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** The API server is a neighbour that is back within a moment: long pauses would only delay what waits for it. */
const BACKOFF = { baseMs: 50, maxMs: 1_000 };

/** Creates the informers; `startInformers` starts them. */
export function createInformers(options: InformersOptions): Informers {
  const shared = { ...options, backoff: BACKOFF };
  const plain = <Kind extends KubeObject>(ref: ResourceRef<Kind>): Informer<Kind> => createInformer({ ...shared, ref });
  const owned = <Kind extends KubeObject>(ref: ResourceRef<Kind>): Informer<Kind> =>
    createInformer({ ...shared, ref, indexes: { owner: (object) => [controllerOf(object)?.uid ?? ''] } });
  return {
    configMaps: plain(CONFIG_MAPS),
    deployments: plain(DEPLOYMENTS),
    namespaces: plain(NAMESPACES),
    nodes: plain(NODES),
    pods: owned(PODS),
    replicaSets: owned(REPLICA_SETS),
    secrets: plain(SECRETS),
    serviceAccounts: plain(SERVICE_ACCOUNTS),
    services: plain(SERVICES),
    slices: createInformer({ ...shared, ref: ENDPOINT_SLICES, indexes: { service: serviceOfSlice } }),
  };
}

/** Starts all informers. @returns Resolves when each has seen a complete list, or the signal aborts. */
export async function startInformers(informers: Partial<Informers>, signal: AbortSignal): Promise<void> {
  await Promise.all(Object.values(informers).map((informer) => informer.start(signal)));
}
