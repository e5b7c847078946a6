import {
  CONFIG_MAPS,
  isAlreadyExists,
  type KubeClient,
  type Namespace,
  parseKeyText,
  SERVICE_ACCOUNTS,
  type WorkQueue,
} from '@meltemi/kube';
import { type ControllerDeps, createControllerQueue, enqueueSelf } from '../controller.ts';
import type { Informers } from '../informers.ts';

const SERVICE_ACCOUNT = 'default';
const ROOT_CA = 'kube-root-ca.crt';

/** What the namespace defaults controller works with. */
export interface NamespaceDefaultsOptions extends ControllerDeps {
  readonly client: KubeClient;
  readonly informers: Pick<Informers, 'namespaces' | 'serviceAccounts' | 'configMaps'>;
  /** Authority of the API server's certificate, PEM. */
  readonly rootCaPem: string;
}

function isTerminating({ metadata, status }: Namespace): boolean {
  return metadata.deletionTimestamp !== undefined || status?.phase === 'Terminating';
}

/** Gives each namespace its ServiceAccount `default` and the ConfigMap with the cluster's root certificate. */
export function createNamespaceDefaultsController(options: NamespaceDefaultsOptions): WorkQueue {
  const { client, informers, rootCaPem } = options;
  const { namespaces, serviceAccounts, configMaps } = informers;

  const ensureServiceAccount = async (namespace: string): Promise<void> => {
    const metadata = { namespace, name: SERVICE_ACCOUNT };
    if (serviceAccounts.store.get(metadata) !== undefined) return;
    await client.create(SERVICE_ACCOUNTS, { apiVersion: 'v1', kind: 'ServiceAccount', metadata });
  };

  const ensureRootCa = async (namespace: string): Promise<void> => {
    const metadata = { namespace, name: ROOT_CA };
    const data = { 'ca.crt': rootCaPem };
    const present = configMaps.store.get(metadata);
    if (present === undefined) {
      await client.create(CONFIG_MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata, data });
    } else if (present.data?.['ca.crt'] !== rootCaPem) {
      await client.patch(CONFIG_MAPS, metadata, { type: 'merge', body: { data } });
    }
  };

  const work = async (key: string): Promise<void> => {
    const { name } = parseKeyText(key);
    const namespace = namespaces.store.get({ name });
    if (namespace === undefined || isTerminating(namespace)) return;
    for (const ensure of [ensureServiceAccount, ensureRootCa]) {
      await ensure(name).catch((error: unknown) => {
        // Our copy lags behind our own write.
        if (!isAlreadyExists(error)) throw error;
      });
    }
  };

  const queue = createControllerQueue('namespace defaults', work, options);
  namespaces.subscribe(enqueueSelf(queue));
  for (const [informer, wanted] of [
    [serviceAccounts, SERVICE_ACCOUNT],
    [configMaps, ROOT_CA],
  ] as const) {
    const addNamespace = ({
      metadata: { name, namespace },
    }: {
      metadata: { name: string; namespace?: string };
    }): void => {
      if (name === wanted && namespace !== undefined) queue.add(namespace);
    };
    informer.subscribe({ onUpdate: addNamespace, onDelete: addNamespace });
  }
  return queue;
}
