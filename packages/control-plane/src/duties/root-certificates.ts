import { type Clock, type Log, messageOf, type Random } from '@meltemi/base';
import {
  CONFIG_MAPS,
  createInformer,
  createWorkQueue,
  isNotFound,
  type KubeClient,
  KubeError,
  NAMESPACES,
  type Namespace,
} from '@meltemi/kube';
import { ROOT_CERTIFICATE_MAP } from '../manifests/manifest-object.ts';
import { untilAborted } from '../until-aborted.ts';
import type { RootSource } from './root-source.ts';

/** Namespaces of Kubernetes itself, where no workload of the mesh runs. */
const SKIPPED: ReadonlySet<string> = new Set(['kube-system', 'kube-public', 'kube-node-lease', 'local-path-storage']);
const ROOT_KEY = 'root-cert.pem';
/** How often a ConfigMap is looked at though nothing is known to have changed it. */
const RECHECK_MS = 60_000;

/** What {@link keepRootCertificates} works with. */
export interface RootCertificateOptions {
  readonly clusterId: string;
  readonly client: Pick<KubeClient, 'list' | 'watch' | 'server' | 'find' | 'apply'>;
  readonly roots: RootSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Keeps ConfigMap `istio-ca-root-cert` in every namespace of a cluster, until the signal aborts. */
export async function keepRootCertificates(options: RootCertificateOptions, signal: AbortSignal): Promise<void> {
  const { clusterId, client, roots, clock, random, log } = options;
  const informer = createInformer<Namespace>({ client, ref: NAMESPACES, log, clock, random });
  const isWanted = (namespace: Namespace | undefined): boolean =>
    namespace !== undefined &&
    namespace.metadata.deletionTimestamp === undefined &&
    !SKIPPED.has(namespace.metadata.name);

  await using queue = createWorkQueue({
    clock,
    random,
    onError: (namespace, error, retryMs) =>
      log.warn('Cannot write the root certificates; will try again', {
        cluster: clusterId,
        namespace,
        error: messageOf(error),
        retryMs: Math.round(retryMs),
      }),
    async work(namespace) {
      if (signal.aborted || !isWanted(informer.store.get({ name: namespace }))) return;
      await writeRoots({ client, namespace, rootPem: roots.rootPem(), signal });
      queue.addAfter(namespace, RECHECK_MS);
    },
  });
  const add = ({ metadata }: Namespace): void => queue.add(metadata.name);
  informer.subscribe({ onAdd: add, onUpdate: add });
  const stopFollowing = roots.onChange(() => {
    for (const namespace of informer.store.list()) add(namespace);
  });
  try {
    await informer.start(signal);
    await untilAborted(signal);
  } finally {
    stopFollowing();
  }
}

interface RootWrite {
  readonly client: RootCertificateOptions['client'];
  readonly namespace: string;
  readonly rootPem: string;
  readonly signal: AbortSignal;
}

async function writeRoots({ client, namespace, rootPem, signal }: RootWrite): Promise<void> {
  try {
    const present = await client.find(CONFIG_MAPS, { namespace, name: ROOT_CERTIFICATE_MAP }, { signal });
    if (present?.data?.[ROOT_KEY] === rootPem) return;
    await client.apply(
      CONFIG_MAPS,
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: ROOT_CERTIFICATE_MAP, namespace, labels: { 'istio.io/config': 'true' } },
        data: { [ROOT_KEY]: rootPem },
      },
      { fieldManager: 'istiod', signal },
    );
  } catch (error) {
    if (signal.aborted) return;
    // The namespace went away, or is about to and takes no new objects.
    if (isNotFound(error)) return;
    if (error instanceof KubeError && error.statusCode === 403 && /terminat/i.test(error.message)) return;
    throw error;
  }
}
