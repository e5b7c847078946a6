import type { Clock, Log, Random } from '@meltemi/base';
import type { Revocations } from '@meltemi/citadel';
import { type KubeClient, type LeaderElectionOptions, type LeaseTiming, runLeaderElection } from '@meltemi/kube';
import { untilAborted } from '../until-aborted.ts';
import { keepDiscoveryAddresses } from './discovery-address.ts';
import { keepInjectionBundle } from './injection-bundle.ts';
import { LEASE_NAMES, type Leadership } from './leadership.ts';
import { tellDoubleClaims } from './namespace-claims.ts';
import { keepTrust } from './namespace-config-maps.ts';
import { whileConsented } from './remote-consent.ts';
import type { ReplicaAddresses } from './replica-addresses.ts';
import type { RootSource } from './root-source.ts';
import { keepValidationBundle } from './validation-bundle.ts';

/** What the duties in one cluster are done with. */
export interface ClusterDutyOptions {
  readonly clusterId: string;
  readonly client: KubeClient;
  readonly revision: string;
  readonly systemNamespace: string;
  readonly roots: RootSource;
  /** `undefined` without a plugged-in CA. */
  readonly revocations: Pick<Revocations, 'pem' | 'onChange'> | undefined;
  /** Which namespaces the mesh takes in; the roots are written to no others. */
  readonly discoversNamespace: (labels: Readonly<Record<string, string>>) => boolean;
  readonly onSelectionChange: (listener: () => void) => () => void;
  /** One replica for all looks after namespaces, and one after webhooks. */
  readonly leaderships: { readonly namespaces: Leadership; readonly webhooks: Leadership };
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Who takes part in an election, and how patiently. */
export interface ElectionCandidate {
  /** Unique among the replicas of all control planes. */
  readonly identity: string;
  readonly timing: LeaseTiming;
}

/** What the duties in a remote cluster are done with, besides. */
export interface RemoteDutyOptions extends ClusterDutyOptions {
  /** The cluster that this control plane runs in. */
  readonly controlPlaneCluster: string;
  /** Where the remote Service `istiod` shall lead: to every replica. */
  readonly addresses: ReplicaAddresses;
  /** As whom this replica enters elections in the remote cluster. */
  readonly candidate: ElectionCandidate;
}

/** What the duties in the control plane's own cluster are done with, besides. */
export interface LocalDutyOptions extends ClusterDutyOptions {
  /** Resolves when the control plane can answer webhooks. */
  readonly ready: Promise<void>;
}

/** Does in the control plane's own cluster what workloads need before they can join. Ends when the signal aborts. */
export async function runLocalDuties(options: LocalDutyOptions, signal: AbortSignal): Promise<void> {
  const { namespaces, webhooks } = options.leaderships;
  // It becomes binding once it answers, so it waits until this control plane can.
  const validation = async (): Promise<void> => {
    await Promise.race([options.ready, untilAborted(signal)]);
    await webhooks.whileLeading(signal, (term) => keepValidationBundle(options, term));
  };
  await Promise.all([
    namespaces.whileLeading(signal, (term) => keepTrust(options, term)),
    namespaces.whileLeading(signal, (term) => tellDoubleClaims(options, term)),
    webhooks.whileLeading(signal, (term) => keepInjectionBundle(options, term)),
    validation(),
  ]);
}

/**
 * Does the same in a remote cluster, as long as that names this control plane: the mesh's roots and revocation lists in every namespace, the
 * certificate of the sidecar webhook, and the replicas' addresses. Ends when the signal aborts.
 *
 * Where it names others too, one control plane at a time does it, by elections in that cluster: each has roots and
 * addresses of its own, and two would overwrite each other for ever.
 */
export async function runRemoteDuties(options: RemoteDutyOptions, signal: AbortSignal): Promise<void> {
  const { leaderships, revision } = options;
  const { namespaces, webhooks } = leaderships;
  const shared = { name: revision, isPreferred: revision === 'default' };
  // Revisions share the roots; each has a webhook and a Service of its own.
  await Promise.all([
    namespaces.whileLeading(signal, (term) =>
      whileConsented(options, term, (consented, consent) => {
        const lead = (elected: AbortSignal): Promise<void> => keepTrust(options, elected);
        const election = { options, lease: LEASE_NAMES.namespaces, revision: shared, lead };
        return consent === 'sole' ? lead(consented) : whileElected(election, consented);
      }),
    ),
    webhooks.whileLeading(signal, (term) =>
      whileConsented(options, term, (consented, consent) => {
        const lead = async (elected: AbortSignal): Promise<void> => {
          await Promise.all([keepInjectionBundle(options, elected), keepDiscoveryAddresses(options, elected)]);
        };
        const election = { options, lease: LEASE_NAMES.remoteWebhooks(revision), lead };
        return consent === 'sole' ? lead(consented) : whileElected(election, consented);
      }),
    ),
  ]);
}

interface RemoteElection {
  readonly options: RemoteDutyOptions;
  /** Name of the Lease in the remote cluster's system namespace. */
  readonly lease: string;
  readonly revision?: LeaderElectionOptions['revision'];
  readonly lead: (signal: AbortSignal) => Promise<void>;
}

/** Competes with other control planes for a duty in a remote cluster; within one, only the replica that leads comes here. */
function whileElected({ options, lease, revision, lead }: RemoteElection, signal: AbortSignal): Promise<void> {
  const { client, systemNamespace: namespace, candidate, clock, random, log } = options;
  const key = { name: lease, namespace };
  const common = { client, lease: key, ...candidate, lead, clock, random, log };
  return runLeaderElection({ ...common, ...(revision === undefined ? {} : { revision }) }, signal);
}
