import { MeltemiError } from '@meltemi/base';
import type { ClusterAccess, KubeClient, Pod } from '@meltemi/kube';
import { DEPLOYMENTS, PODS, REPLICA_SETS } from '@meltemi/kube';
import { CommandError, EXIT } from './exit-code.ts';
import { KindsCatalog } from './kinds-catalog.ts';
import type { Terminal } from './terminal.ts';

/** The flags that every command which talks to a cluster understands. */
export interface ClusterFlags {
  readonly dir?: string;
  readonly kubeconfig?: string;
  readonly cluster?: string;
  readonly namespace?: string;
}

/** One cluster that a session can reach. */
export interface SessionCluster {
  readonly name: string;
  readonly client: KubeClient;
  readonly access: ClusterAccess;
}

/** A command's view of the clusters: which one it is about, and how to reach the others. */
export interface Session extends AsyncDisposable {
  /** The cluster of `--cluster`, or the current context. */
  readonly cluster: SessionCluster;
  /** All clusters of the kubeconfig, in its order. */
  readonly clusters: readonly SessionCluster[];
  /** The cluster that the control plane runs in, when the environment says so; else the current one. */
  readonly controlPlane: SessionCluster;
  readonly namespace: string;
  /** The folder of the environment that the session is with; `undefined` with a kubeconfig. */
  readonly environmentDirectory: string | undefined;
  /** Where pods and other clusters reach the API of the session's cluster; `undefined` when the cluster does not say. */
  internalServer(): Promise<string | undefined>;
}

/** What commands get besides their own flags. */
export interface CommandContext {
  readonly terminal: Terminal;
  openSession(flags: ClusterFlags): Promise<Session>;
  readonly version: string;
  /** Wall-clock time, Unix milliseconds. */
  nowMs(): number;
  /** The process's environment variables; programs that are started inherit them. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

/** Runs `body` with a session and closes it afterwards. */
export async function withSession(
  context: CommandContext,
  flags: ClusterFlags,
  body: (session: Session) => Promise<void>,
): Promise<void> {
  await using session = await context.openSession(flags);
  await body(session);
}

/** The kinds of the session's cluster. */
export function readCatalog(session: Session): Promise<KindsCatalog> {
  return KindsCatalog.read(session.cluster.client);
}

/**
 * The pod that a user means: `NAME`, `pod/NAME`, `deploy/NAME` (its first ready pod), `NAME.NAMESPACE`.
 *
 * @throws CommandError when there is none.
 */
export async function resolvePod(client: KubeClient, target: string, namespace: string): Promise<Pod> {
  const [type, name] = target.includes('/') ? (target.split('/') as [string, string]) : ['pod', target];
  if (['deploy', 'deployment', 'deployments'].includes(type)) {
    const deployment = await client.find(DEPLOYMENTS, { namespace, name });
    if (deployment === undefined)
      throw new CommandError(EXIT.failed, `Deployment ${name} not found in namespace ${namespace}`);
    const sets = await client.list(REPLICA_SETS, { namespace });
    const owned = new Set(
      sets.items
        .filter((set) => set.metadata.ownerReferences?.some((owner) => owner.uid === deployment.metadata.uid))
        .map((set) => set.metadata.uid),
    );
    const pods = (await client.list(PODS, { namespace })).items.filter((pod) =>
      pod.metadata.ownerReferences?.some((owner) => owned.has(owner.uid)),
    );
    const running = pods.filter((pod) => pod.metadata.deletionTimestamp === undefined);
    const best =
      running.find((pod) =>
        pod.status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True'),
      ) ?? running[0];
    if (best === undefined)
      throw new CommandError(
        EXIT.failed,
        `Deployment ${name} in namespace ${namespace} has no pod; see "meltemi describe deployment ${name} -n ${namespace}"`,
      );
    return best;
  }
  if (!['pod', 'pods', 'po'].includes(type))
    throw new CommandError(EXIT.usage, `Cannot find the pod of ${target}; use POD, pod/POD or deploy/NAME`);
  const pod = await client.find(PODS, { namespace, name });
  if (pod !== undefined) return pod;
  const dot = name.lastIndexOf('.');
  const qualified =
    dot > 0 ? await client.find(PODS, { namespace: name.slice(dot + 1), name: name.slice(0, dot) }) : undefined;
  if (qualified !== undefined) return qualified;
  throw new CommandError(
    EXIT.failed,
    `Pod ${name} not found in namespace ${namespace}; see "meltemi get pods -n ${namespace}"`,
  );
}

/** The container a command goes into: the one named, the annotated default, or the first. @throws MeltemiError unknown container. */
export function resolveContainer(pod: Pod, named: string | undefined): string {
  const names = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].map((container) => container.name);
  if (named !== undefined) {
    if (names.includes(named)) return named;
    throw new MeltemiError(
      'FAILED',
      `Container ${named} not found in pod ${pod.metadata.name}; it has ${names.join(', ')}`,
    );
  }
  const annotated = pod.metadata.annotations?.['kubectl.kubernetes.io/default-container'];
  return annotated !== undefined && names.includes(annotated) ? annotated : (names[0] as string);
}
