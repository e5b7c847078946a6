import type { Clock, Log, Random } from '@meltemi/base';
import { createInformer, type KubeClient, NAMESPACES, type Namespace } from '@meltemi/kube';
import { CONTROL_PLANE_CLUSTERS_ANNOTATION } from '../manifests/manifest-object.ts';
import { untilAborted } from '../until-aborted.ts';

/** What {@link whileConsented} works with. */
export interface RemoteConsentOptions {
  /** The remote cluster. */
  readonly clusterId: string;
  readonly client: Pick<KubeClient, 'list' | 'watch' | 'server'>;
  readonly systemNamespace: string;
  /** The cluster that this control plane runs in. */
  readonly controlPlaneCluster: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Whom a remote cluster lets act in it: not this control plane, nobody else, or others beside it. */
export type RemoteConsent = 'none' | 'sole' | 'shared';

/**
 * Runs duties in a remote cluster for as long as its system namespace names this control plane: reading a cluster
 * gives no right to write to it.
 *
 * @param duties Told whether other control planes may act there too; begun anew when that changes.
 */
export async function whileConsented(
  options: RemoteConsentOptions,
  signal: AbortSignal,
  duties: (signal: AbortSignal, consent: Exclude<RemoteConsent, 'none'>) => Promise<void>,
): Promise<void> {
  const { clusterId, client, systemNamespace, controlPlaneCluster, clock, random, log } = options;
  const informer = createInformer<Namespace>({
    client,
    ref: NAMESPACES,
    fieldSelector: `metadata.name=${systemNamespace}`,
    log,
    clock,
    random,
  });
  let current: { readonly consent: Exclude<RemoteConsent, 'none'>; readonly stop: AbortController } | undefined;
  let running: Promise<void> = Promise.resolve();
  const decide = (namespace: Namespace | undefined): void => {
    const consent = namespace === undefined ? 'none' : readConsent(namespace, controlPlaneCluster);
    if (current?.consent === consent) return;
    current?.stop.abort();
    if (consent !== 'none') {
      const stop = new AbortController();
      current = { consent, stop };
      running = running.then(() => duties(AbortSignal.any([signal, stop.signal]), consent));
      return;
    }
    if (current === undefined) {
      log.info('The remote cluster does not name this control plane; nothing is written there', {
        cluster: clusterId,
        annotation: CONTROL_PLANE_CLUSTERS_ANNOTATION,
      });
    } else {
      log.info('The remote cluster no longer names this control plane; its duties there end', { cluster: clusterId });
    }
    current = undefined;
  };
  informer.subscribe({
    onAdd: decide,
    onUpdate: (namespace, previous) => {
      const key = CONTROL_PLANE_CLUSTERS_ANNOTATION;
      if (namespace.metadata.annotations?.[key] !== previous.metadata.annotations?.[key]) decide(namespace);
    },
    onDelete: () => decide(undefined),
  });
  await informer.start(signal);
  await untilAborted(signal);
  current?.stop.abort();
  await running;
}

/** Reads from a system namespace whether it names a control plane, and others beside it. */
export function readConsent({ metadata }: Namespace, controlPlaneCluster: string): RemoteConsent {
  const named = (metadata.annotations?.[CONTROL_PLANE_CLUSTERS_ANNOTATION] ?? '')
    .split(',')
    .map((id) => id.trim())
    .filter((id) => id !== '');
  if (!named.includes('*') && !named.includes(controlPlaneCluster)) return 'none';
  return named.every((id) => id === controlPlaneCluster) ? 'sole' : 'shared';
}
