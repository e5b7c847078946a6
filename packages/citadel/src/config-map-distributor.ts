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

/** A ConfigMap that every namespace has, and the key of its only entry. */
export interface DistributedConfigMap {
  readonly name: string;
  readonly key: string;
}

/** What pods mount to check the control plane. */
export const ROOT_CERT_CONFIG_MAP: DistributedConfigMap = { name: 'istio-ca-root-cert', key: 'root-cert.pem' };
/** What pods mount to know which certificates are revoked. */
export const REVOCATION_CONFIG_MAP: DistributedConfigMap = { name: 'istio-ca-crl', key: 'ca-crl.pem' };

/** Namespaces that run no workloads of users. */
const IGNORED_NAMESPACES: ReadonlySet<string> = new Set(['kube-public', 'kube-node-lease', 'local-path-storage']);
const FIELD_MANAGER = 'meltemi-citadel';

/** What {@link createConfigMapDistributor} works with. */
export interface ConfigMapDistributorOptions {
  readonly client: KubeClient;
  readonly configMap: DistributedConfigMap;
  /**
   * The text to distribute; asked whenever a namespace is looked at. Empty: the entry is taken out of what was written.
   * `undefined`: what namespaces have stays.
   */
  readonly content: () => string | undefined;
  /** By labels, which namespaces get it; after a change call `refresh`. What a namespace has stays. Default: all. */
  readonly isSelected?: (labels: Readonly<Record<string, string>>) => boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Keeps one ConfigMap of one cluster's namespaces up to date. */
export interface ConfigMapDistributor extends AsyncDisposable {
  /** Begins to follow the cluster; resolves when every namespace that was there has been looked at once. */
  start(signal: AbortSignal): Promise<void>;
  /** The content or the selection changed: every namespace is looked at again. */
  refresh(): void;
}

/**
 * Creates the distributor of one attached cluster. A ConfigMap that is missing, deleted or changed by others is written
 * again; failures are retried for ever.
 */
export function createConfigMapDistributor(options: ConfigMapDistributorOptions): ConfigMapDistributor {
  const { client, configMap, content, isSelected = () => true, clock, random, log } = options;
  const shared = { client, clock, random, log };
  const namespaces = createInformer<Namespace>({ ...shared, ref: NAMESPACES });
  const configMaps = createInformer<ConfigMap>({
    ...shared,
    ref: CONFIG_MAPS,
    fieldSelector: `metadata.name=${configMap.name}`,
  });
  const queue = createWorkQueue({
    work: (name) => reconcile(name),
    onError: (namespace, error, retryMs) =>
      log.warn('Cannot write a ConfigMap, trying again', {
        name: configMap.name,
        namespace,
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
    const text = content();
    const existing = configMaps.store.get({ name: configMap.name, namespace });
    if (text === undefined || (existing?.data?.[configMap.key] ?? '') === text) return;
    try {
      await client.apply(CONFIG_MAPS, buildConfigMap(namespace, configMap, text), { fieldManager: FIELD_MANAGER });
      log.debug('ConfigMap written', { name: configMap.name, namespace, server: client.server });
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

function buildConfigMap(namespace: string, { name, key }: DistributedConfigMap, text: string): ConfigMap {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace, labels: { 'istio.io/config': 'true' } },
    // Without the field, server-side apply removes the entry that this field manager has written.
    ...(text === '' ? {} : { data: { [key]: text } }),
  };
}
