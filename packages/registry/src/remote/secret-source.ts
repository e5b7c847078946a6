import type { Clock, Log, Random } from '@meltemi/base';
import { createInformer, type KubeClient, keyText, SECRETS, type Secret } from '@meltemi/kube';
import type { RemoteHolder, RemoteSource } from './remote-source.ts';

/** Label of Secrets that hold credentials of remote clusters. */
export const REMOTE_SECRET_LABEL = 'istio/multiCluster';

/** What {@link createSecretSource} reads. */
export interface SecretSourceOptions {
  readonly client: Pick<KubeClient, 'list' | 'watch' | 'server'>;
  readonly namespace: string;
  readonly clock: Clock;
  readonly random?: Random;
  readonly log: Log;
}

/** Remote clusters by Secrets labelled `istio/multiCluster: "true"`: each key is a cluster, its value a kubeconfig. */
export function createSecretSource({ client, namespace, clock, random, log }: SecretSourceOptions): RemoteSource {
  const informer = createInformer<Secret>({
    client,
    ref: SECRETS,
    namespace,
    labelSelector: `${REMOTE_SECRET_LABEL}=true`,
    log,
    clock,
    ...(random === undefined ? {} : { random }),
  });
  return {
    async start(listener, signal) {
      informer.subscribe({
        onAdd: (secret) => listener('add', toHolder(secret)),
        onUpdate: (secret) => listener('update', toHolder(secret)),
        onDelete: (secret) => listener('delete', toHolder(secret)),
      });
      await informer.start(signal);
    },
    holders: () => informer.store.list().map(toHolder),
  };
}

function toHolder({ metadata, data = {} }: Secret): RemoteHolder {
  return {
    name: keyText(metadata),
    secret: { namespace: metadata.namespace ?? '', name: metadata.name, uid: metadata.uid },
    kubeconfigs: new Map(
      Object.entries(data).map(([id, value]) => [id, { text: Buffer.from(value, 'base64').toString('utf8') }]),
    ),
  };
}
