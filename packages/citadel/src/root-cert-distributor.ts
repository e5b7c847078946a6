import { type Clock, type Log, messageOf, type Random } from '@meltemi/base';
import {
  CONFIG_MAPS,
  type ConfigMap,
  createInformer,
  createWorkQueue,
  isNotFound,
  type KubeClient,
  NAMESPACES,
  type Namespace,
} from '@meltemi/kube';

/** Name of the ConfigMap that pods mount to check the control plane. */
export const ROOT_CERT_CONFIG_MAP = 'istio-ca-root-cert';
/** Its key. */
export const ROOT_CERT_KEY = 'root-cert.pem';

/** Namespaces that run no workloads of users. */
const IGNORED_NAMESPACES: ReadonlySet<string> = new Set(['kube-public', 'kube-node-lease', 'local-path-storage']);
const FIELD_MANAGER = 'meltemi-citadel';

/** What {@link createRootCertDistributor} works with. */
export interface RootCertDistributorOptions {
  readonly client: KubeClient;
  /** The trust bundle, PEM; asked whenever something has to be written. */
  readonly bundle: () => string;
  /** By labels, which namespaces get it; after a change call `refresh`. What a namespace has stays. Default: all. */
  readonly isSelected?: (labels: Readonly<Record<string, string>>) => boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Keeps the trust bundle of one cluster's namespaces up to date. */
export interface RootCertDistributor extends AsyncDisposable {
  /** Begins to follow the cluster; resolves when every namespace that was there has been looked at once. */
  start(signal: AbortSignal): Promise<void>;
  /** The bundle or the selection changed: every namespace is looked at again. */
  refresh(): void;
}

/**
 * Creates the distributor of one attached cluster. A ConfigMap that is missing, deleted or changed by others is written
 * again; failures are retried for ever.
 */
export function createRootCertDistributor(options: RootCertDistributorOptions): RootCertDistributor {
  const { client, bundle, isSelected = () => true, clock, random, log } = options;
  const shared = { client, clock, random, log };
  const namespaces = createInformer<Namespace>({ ...shared, ref: NAMESPACES });
  const configMaps = createInformer<ConfigMap>({
    ...shared,
    ref: CONFIG_MAPS,
    fieldSelector: `metadata.name=${ROOT_CERT_CONFIG_MAP}`,
  });
  const queue = createWorkQueue({
    work: (name) => reconcile(name),
    onError: (name, error, retryMs) =>
      log.warn('Cannot write the root certificate, trying again', {
        namespace: name,
        server: client.server,
        error: messageOf(error),
        retryMs,
      }),
    clock,
    random,
  });

  const reconcile = async (namespace: string): Promise<void> => {
    const current = namespaces.store.get({ name: namespace });
    if (current === undefined || !isServed(current) || !isSelected(current.metadata.labels ?? {})) return;
    const pem = bundle();
    const existing = configMaps.store.get({ name: ROOT_CERT_CONFIG_MAP, namespace });
    if (existing?.data?.[ROOT_CERT_KEY] === pem) return;
    try {
      await client.apply(CONFIG_MAPS, buildConfigMap(namespace, pem), { fieldManager: FIELD_MANAGER });
      log.debug('Root certificate written', { namespace, server: client.server });
    } catch (error) {
      // Deleted since it was seen; nothing is left to write to.
      if (!isNotFound(error)) throw error;
    }
  };
  const addNamespace = ({ metadata }: Namespace): void => queue.add(metadata.name);
  const addNamespaceOf = ({ metadata }: ConfigMap): void => queue.add(metadata.namespace ?? '');

  return {
    async start(signal) {
      await Promise.all([configMaps.start(signal), namespaces.start(signal)]);
      // Only now: before the ConfigMaps are known every namespace would seem to lack its own.
      namespaces.subscribe({ onAdd: addNamespace, onUpdate: addNamespace });
      configMaps.subscribe({ onUpdate: addNamespaceOf, onDelete: addNamespaceOf });
      await queue.idle();
    },
    refresh: () => namespaces.store.list().forEach(addNamespace),
    [Symbol.asyncDispose]: () => queue[Symbol.asyncDispose](),
  };
}

function isServed({ metadata, status }: Namespace): boolean {
  return (
    !IGNORED_NAMESPACES.has(metadata.name) &&
    status?.phase !== 'Terminating' &&
    metadata.deletionTimestamp === undefined
  );
}

function buildConfigMap(namespace: string, pem: string): ConfigMap {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: ROOT_CERT_CONFIG_MAP, namespace, labels: { 'istio.io/config': 'true' } },
    data: { [ROOT_CERT_KEY]: pem },
  };
}
