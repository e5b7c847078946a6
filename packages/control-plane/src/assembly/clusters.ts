import type { Revocations } from '@meltemi/citadel';
import { createKubeClient, type KubeClient } from '@meltemi/kube';
import {
  type AggregateRegistry,
  type AttachedCluster,
  type ClusterRegistry,
  createAggregateRegistry,
  createKubeconfigDirectory,
  createKubernetesRegistry,
  createRegistryMetrics,
  createRemoteClusters,
  createSecretSource,
  type RegistryMetrics,
  type RemoteClusters,
  type RemoteSource,
} from '@meltemi/registry';
import { parseAcceptedCredentials } from '../accepted-credentials.ts';
import { runRemoteDuties } from '../duties/cluster-duties.ts';
import { followReplicaAddresses, type ReplicaAddresses } from '../duties/replica-addresses.ts';
import type { RootSource } from '../duties/root-source.ts';
import { createRefusalEvents } from '../remote-refusals.ts';
import { UnknownClusters } from '../unknown-clusters.ts';
import type { Leaderships } from './leaderships.ts';
import type { RunContext } from './run-context.ts';

/** Shows up in the audit logs of API servers. */
export const USER_AGENT = 'meltemi-control-plane';

/** The clusters of the mesh. */
export interface Clusters {
  readonly aggregate: AggregateRegistry;
  /** Not started yet. */
  readonly local: ClusterRegistry;
  /** Not started yet. */
  readonly remotes: RemoteClusters;
  /** Clusters that workloads name and nobody else. */
  readonly unknown: UnknownClusters;
  readonly metrics: RegistryMetrics;
}

/** What {@link prepareClusters} needs besides. */
export interface ClusterParts {
  readonly trustDomain: () => string;
  readonly discoversNamespace: (labels: Readonly<Record<string, string>>) => boolean;
  readonly onSelectionChange: (listener: () => void) => () => void;
  readonly roots: RootSource;
  readonly revocations: Revocations | undefined;
  readonly leaderships: Leaderships;
}

/** Prepares discovery in the own cluster and in those that remote secrets name. */
export function prepareClusters(run: RunContext, parts: ClusterParts): Clusters {
  const { trustDomain, discoversNamespace } = parts;
  const { client, clock, random, log, settings } = run;
  const { clusterId, namespace, domainSuffix } = settings;
  const aggregate = createAggregateRegistry({ log: log.scope('registry') });
  const registryOf = (id: string, clusterClient: KubeClient): ClusterRegistry =>
    createKubernetesRegistry({
      clusterId: id,
      client: clusterClient,
      systemNamespace: namespace,
      domainSuffix,
      trustDomain,
      discoversNamespace,
      clock,
      random,
      log: log.scope('registry'),
    });
  const local = registryOf(clusterId, client);
  // First of all, since the first one decides where clusters disagree.
  aggregate.set(local);
  const metrics = createRegistryMetrics(run.metrics);
  metrics.managedClusters('local', 1);
  const addresses = followReplicaAddresses(
    { client, namespace, revision: settings.revision, podIp: settings.podIp, clock, random, log: log.scope('duties') },
    run.signal,
  );
  const remotes = createRemoteClusters({
    source: remoteSource(run),
    localClusterId: clusterId,
    aggregate,
    connect(id, access) {
      const onMissingRight = run.permissions.observer(id);
      const remote = createKubeClient({ access, clock, userAgent: USER_AGENT, onMissingRight });
      return { client: remote, registry: registryOf(id, remote) };
    },
    onAttach: (cluster) => lookAfter(cluster, { run, parts, addresses }),
    onRefuse: createRefusalEvents({ client, clock, log: log.scope('remote'), tasks: run.tasks, signal: run.signal }),
    allow: parseAcceptedCredentials(settings.insecureKubeconfigOptions),
    syncTimeoutMs: settings.remoteClusterTimeoutMs,
    clock,
    log: log.scope('remote'),
    metrics,
  });
  const unknown = new UnknownClusters({ clock, log: log.scope('remote') });
  return { aggregate, local, remotes: run.own(remotes), unknown, metrics };
}

/** Files win: with a directory named, no Secret is looked at. */
function remoteSource({ client, clock, random, log, settings }: RunContext): RemoteSource {
  const { namespace, kubeconfigDirectory: directory } = settings;
  if (directory !== '') return createKubeconfigDirectory({ directory, clock, log: log.scope('remote') });
  return createSecretSource({ client, namespace, clock, random, log: log.scope('remote') });
}

interface RemoteDutyParts {
  readonly run: RunContext;
  readonly parts: ClusterParts;
  readonly addresses: ReplicaAddresses;
}

function lookAfter({ clusterId, client, signal }: AttachedCluster, { run, parts, addresses }: RemoteDutyParts): void {
  const { clock, random, log, settings, tasks } = run;
  const { roots, revocations, leaderships, discoversNamespace, onSelectionChange } = parts;
  const duties = {
    clusterId,
    client,
    revision: settings.revision,
    roots,
    revocations,
    leaderships,
    candidate: leaderships.candidate,
    discoversNamespace,
    onSelectionChange,
    systemNamespace: settings.namespace,
    controlPlaneCluster: settings.clusterId,
    addresses,
    clock,
    random,
    log: log.scope('duties'),
  };
  tasks.run(`Looking after cluster ${clusterId}`, () => runRemoteDuties(duties, signal));
}
